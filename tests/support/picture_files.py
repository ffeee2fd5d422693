"""Contents of picture files: sound, broken, and with headers or sizes that are not true."""

from __future__ import annotations

import random
import struct
import zlib
from io import BytesIO

from PIL import Image

from bot.domain.content import DiskFile
from bot.sandbox.discord.files import Blob

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture in one of Pillow's formats."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int = 64, height: int = 64, colour: str | tuple[int, ...] = "tomato", mode: str = "RGB") -> bytes:
    """A PNG of one colour."""
    return encoded(Image.new(mode, (width, height), colour), "PNG")


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A picture that compresses badly, the same every time."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(7).randbytes(size[0] * size[1] * channels))


def png_declaring(width: int, height: int) -> bytes:
    """A PNG of few bytes whose header declares many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png_of_chunks((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))


def png_without_pixels() -> bytes:
    """A PNG with valid checksums and 300 kB of data that cannot be unpacked."""
    header = struct.pack(">IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0)
    return png_of_chunks((b"IHDR", header), (b"IDAT", random.Random(1).randbytes(300_000)), (b"IEND", b""))


def slow_jpeg(side: int = 4000, scans: int = 3000) -> bytes:
    """A small JPEG whose last scan comes again and again: to open it takes minutes."""
    content = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True, quality=50)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def webp_declaring(width: int, height: int) -> bytes:
    """The header of a WebP."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes(4) + sizes
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def misdescribed(filename: str, content: bytes, *, size: int | None = None) -> Blob:
    """An attachment of which Discord knows no dimensions, and a wrong size if one is given."""
    return Blob(
        filename=filename,
        content=content,
        size=size or len(content),
        sha256="",
        content_type="image/png",
        width=None,
        height=None,
    )


def png_of_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with a right check sum for each chunk."""
    content = PNG_SIGNATURE
    for kind, data in chunks:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def on_disk(content: bytes) -> DiskFile:
    """The same bytes on disk, however few."""
    file = DiskFile()
    file.append(content)
    return file
