"""Painting, decoding and encoding the pictures that a stand-in returns."""

import hashlib
import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from PIL import Image

from bot.sandbox import painter

ONE_PICTURE_PROMPT = "a lighthouse at sunset"
"""Painted for every request when the option `one_picture` is on."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture and its size in pixels."""

    content: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintJob:
    """All that a painting thread needs; it shares nothing with the event loop."""

    prompt: str
    size: tuple[int, int]
    output_format: str
    transparent: bool = False
    compression: int | None = None
    """Quality of a lossy format, 0 to 100; None: the painter's own."""
    pad_to: int | None = None
    """Bytes up to which PNGs and JPEGs are filled."""
    source: Image.Image | None = None
    mask: Image.Image | None = None

    seed: int = 0
    """The number of the first picture; the same prompt and number give the same picture."""

    def paint(self, index: int) -> Picture:
        """Paint the picture with this number, counted from the seed; slow, for a thread."""
        return Picture(self._content(self.seed + index), *self.size)

    def _content(self, index: int) -> bytes:
        if self.source is not None:
            pictures = (_Pixels.of(self.source), None if self.mask is None else _Pixels.of(self.mask))
            return _edited(
                *pictures, self.prompt, self.size, index, self.output_format, self.compression, self.pad_to
            )
        plain = _is_plain(self.output_format, self.compression)
        content = painter.painted(
            self.prompt,
            self.size,
            self.output_format if plain else "png",
            index=index,
            transparent=self.transparent,
            pad_to=None if self.output_format == "webp" else self.pad_to,
        )
        return content if plain else _encoded_anew(content, self.output_format, self.compression)

    def preview(self, content: bytes, index: int) -> bytes:
        """A blurred preview of the finished picture; the higher `index`, the sharper."""
        return _blurred(content, 32 >> index, self.output_format, self.compression)


@dataclass(frozen=True, slots=True)
class _Pixels:
    """A decoded picture, equal to every other with the same pixels."""

    digest: bytes
    image: Image.Image = field(compare=False)

    @classmethod
    def of(cls, image: Image.Image) -> Self:
        about = repr((image.mode, image.size, image.info.get("transparency"), image.getpalette())).encode()
        return cls(hashlib.blake2b(image.tobytes() + about).digest(), image)


@lru_cache(maxsize=4)  # each entry keeps its source
def _edited(
    source: _Pixels,
    mask: _Pixels | None,
    prompt: str,
    size: tuple[int, int],
    index: int,
    output_format: str,
    compression: int | None,
    pad_to: int | None,
) -> bytes:
    kept = None if mask is None else mask.image
    image = painter.edit(source.image, prompt, size, kept, index=index)
    return encode(image, output_format, compression, pad_to)


@lru_cache(maxsize=12)
def _encoded_anew(content: bytes, output_format: str, compression: int | None) -> bytes:
    return encode(decode(content), output_format, compression)


@lru_cache(maxsize=12)
def _blurred(content: bytes, scale: int, output_format: str, compression: int | None) -> bytes:
    """The picture made smaller by `scale` and enlarged again; one that cannot be read stays as it is."""
    try:
        image = decode(content)
    except (OSError, Image.DecompressionBombError):
        return content
    image = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
    blurred = image.reduce(scale).resize(image.size, Image.Resampling.BILINEAR)
    return encode(blurred, output_format, compression)


def encode(
    image: Image.Image, output_format: str, compression: int | None = None, pad_to: int | None = None
) -> bytes:
    """`image` as png, jpeg, webp, gif or avif; `compression` is the quality of the lossy ones."""
    if _is_plain(output_format, compression):
        return painter.encode(image, output_format, pad_to=None if output_format == "webp" else pad_to)
    buffer = io.BytesIO()
    if output_format == "gif":
        image.save(buffer, "GIF")
    elif output_format == "avif":
        image.save(buffer, "AVIF", quality=90 if compression is None else compression, speed=10)
    else:
        flat = image.convert("RGB") if output_format == "jpeg" else image
        flat.save(buffer, output_format.upper(), quality=compression)
    return buffer.getvalue()


def decode(content: bytes) -> Image.Image:
    """The decoded picture. OSError, ValueError, SyntaxError or DecompressionBombError when it is broken."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def seed_for(prompt: str) -> int:
    """The seed that a stand-in draws when a request names none: always the same one for a prompt."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture has an alpha channel, or a palette with transparency."""
    return "A" in image.getbands() or "transparency" in image.info


def _is_plain(output_format: str, compression: int | None) -> bool:
    """Whether the painter itself can write this format."""
    return output_format in painter.FORMATS and (compression is None or output_format == "png")
