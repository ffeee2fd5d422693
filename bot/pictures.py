"""Pictures: what they really are, masks, other formats, and smaller files. Pillow, off the event loop.

A picture is judged from its header first, so that nothing huge is ever decoded. What follows depends on the
kind, measured on 1024 × 1024 pictures of 0.3 to 1.7 MB:

- PNG: the check sums of all chunks (0.6 ms) instead of decoding (18 ms). A cut or changed file is found.
- WebP: its lengths are checked on opening (1 ms); decoding takes 30 ms and finds no more cut files.
- JPEG: has no check sums, so it is decoded, at an eighth of its size where the format allows (4 ms).
- AVIF: has no check sums, so it is decoded.
- GIF and AVIF: as a source the first frame becomes a PNG, since no provider takes them; as a result they stay.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import PurePosixPath
from typing import TypeVar

from PIL import Image, ImageOps

from bot.domain.checks import MAXIMUM_PIXELS, check_mask_size, check_pixels
from bot.domain.errors import BadSource, InvalidResponse
from bot.domain.pictures import Picture
from bot.domain.requests import OutputFormat

MAXIMUM_MASK = 4_000_000
"""Bytes. OpenAI's image API takes masks below 4 MB: https://platform.openai.com/docs/api-reference/images"""

TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
}
KINDS: dict[OutputFormat, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF", "avif": "AVIF"}

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
_FOREIGN = ("image/gif", "image/avif")
"""What Discord shows and no provider takes."""
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,  # of the AVIF decoder
    struct.error,
    zlib.error,
)
"""All that Pillow raises for files that are not what they claim."""
_QUALITIES = (92, 85, 75, 60)
_SMALLEST_SIDE = 64
_PREVIEW_SIDE = 640
_LARGEST_SIDE = 4_096
"""Pixels on the longer side, of a picture that must be made smaller anyway."""
_KEEP, _CHANGE = 255, 0
_MIDDLE = 128

Value = TypeVar("Value")


class Pictures:
    """Pillow on threads of its own. Close it last."""

    def __init__(self, workers: int = 2) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="pictures")
        # Encoding takes seconds and must never occupy every thread, since each result is inspected here too.
        self._slow = asyncio.Semaphore(max(1, workers - 1))

    def close(self) -> None:
        """Wait for what is running, start nothing more."""
        self._threads.shutdown(cancel_futures=True)

    async def inspect(self, content: bytes, *, filename: str, result: bool = False) -> Picture:
        """Find out what a file really is, whatever it is called.

        The bytes stay as they are, except that the first frame of a GIF or an AVIF becomes a PNG unless it is a
        `result`: only while `picture.content is content` does a link to the original show the same picture.

        Raises:
            BadSource: no PNG, JPEG, WebP, GIF or AVIF, cut short, or more than `MAXIMUM_PIXELS`.
        """
        return await self._run(lambda: _inspect(content, filename, result))

    async def convert(self, picture: Picture, kind: OutputFormat, quality: int | None) -> Picture:
        """The picture in another format; `quality` is 0 to 100 for those that lose detail.

        Raises:
            InvalidResponse: it cannot be decoded.
        """
        async with self._slow:
            return await self._run(lambda: _converted(picture, KINDS[kind], quality))

    async def preview(self, content: bytes) -> Picture | None:
        """A small version of an unfinished picture; None where the bytes are no picture."""
        return await self._run(lambda: _preview(content))

    async def check_mask(self, mask: Picture, picture: Picture) -> Picture:
        """Check that a mask fits its picture; returns it as providers want it: a PNG, transparent where to paint.

        A mask may say where to paint in two ways: transparent, or white on black. The second has no
        transparency, and its white (lighter than middle grey) becomes transparent. The mask comes back
        unchanged (`is mask`) if it was right already.

        Raises:
            BadSource: another size than the picture's, or it marks nothing.
        """
        check_mask_size((mask.width, mask.height), (picture.width, picture.height))
        async with self._slow:
            return await self._run(lambda: _as_mask(mask))

    async def shrink(self, picture: Picture, limit: int) -> Picture | None:
        """The same picture in at most `limit` bytes: first at a lower quality, then smaller.

        What is transparent becomes a WebP and stays transparent, the rest a JPEG. None if it cannot be done
        with at least 64 pixels to the longer side.
        """
        if len(picture.content) <= limit:
            return picture
        async with self._slow:
            return await self._run(lambda: _shrink(picture, limit))

    async def _run(self, work: Callable[[], Value]) -> Value:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _inspect(content: bytes, filename: str, result: bool) -> Picture:
    size = _header_size(content)
    if size is not None:
        check_pixels(_shown(filename), *size)
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            content_type = TYPES[image.format or ""]
            check_pixels(_shown(filename), image.width, image.height)
            if content_type in _FOREIGN and not result:
                return _first_frame(image, filename)
            width, height = image.size
            if content_type == "image/jpeg":
                image.draft(None, (max(1, width // 8), max(1, height // 8)))
            if content_type in ("image/png", "image/webp"):
                image.verify()
            else:
                image.load()
    except BadSource:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = MAXIMUM_PIXELS // 1_000_000
        raise BadSource(f"{_shown(filename)} has more than {limit} megapixels. Send a smaller one.") from None
    except _BROKEN:
        raise _unreadable(filename) from None
    name = _renamed(filename, SUFFIXES[content_type])
    return Picture(content=content, content_type=content_type, filename=name, width=width, height=height)


def _header_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or a WebP: Pillow reserves memory for them as soon as it opens the file."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(content[24:27], "little") + 1,
            int.from_bytes(content[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _unreadable(filename: str) -> BadSource:
    return BadSource(f"{_shown(filename)} is not a picture Easel can read. Send a PNG, JPEG or WebP.")


def _shown(filename: str) -> str:
    name = "".join(character for character in filename if character.isprintable()).strip()
    return name[:77] + "…" if len(name) > 78 else name or "The file"


def _renamed(filename: str, suffix: str) -> str:
    """The name with the ending of its content's type."""
    path = PurePosixPath(filename.replace("\\", "/"))
    if path.suffix.lower() == suffix or (suffix == ".jpg" and path.suffix.lower() == ".jpeg"):
        return path.name
    return f"{path.stem or 'picture'}{suffix}"


def _first_frame(image: Image.Image, filename: str) -> Picture:
    image.seek(0)
    frame = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return _saved(frame, "PNG", filename, {"compress_level": 3})


def _saved(image: Image.Image, kind: str, filename: str, options: dict[str, int]) -> Picture:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    content_type = TYPES[kind]
    return Picture(
        content=buffer.getvalue(),
        content_type=content_type,
        filename=_renamed(filename, SUFFIXES[content_type]),
        width=image.width,
        height=image.height,
    )


def _converted(picture: Picture, kind: str, quality: int | None) -> Picture:
    if TYPES[kind] == picture.content_type and quality is None:
        return picture
    try:
        with Image.open(BytesIO(picture.content), formats=_FORMATS) as opened:
            transparent = opened.has_transparency_data
            image = ImageOps.exif_transpose(opened).convert("RGBA" if transparent else "RGB")
        if transparent and kind == "JPEG":
            # The colour behind transparent pixels is often black.
            backdrop = Image.new("RGB", image.size, "white")
            backdrop.paste(image, mask=image.getchannel("A"))
            image = backdrop
        options = {} if quality is None or kind in ("PNG", "GIF") else {"quality": max(1, quality)}
        return _saved(image, kind, picture.filename, options)
    except _BROKEN:
        raise InvalidResponse(detail="not decodable") from None


def _preview(content: bytes) -> Picture | None:
    size = _header_size(content)
    if size is not None and size[0] * size[1] > MAXIMUM_PIXELS:
        return None
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                return None
            image.draft("RGB", (_PREVIEW_SIDE, _PREVIEW_SIDE))
            small = image.convert("RGBA" if image.has_transparency_data else "RGB")
        small.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        return _saved(small, "WEBP", "preview", {"quality": 80})
    except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def _as_mask(mask: Picture) -> Picture:
    try:
        with Image.open(BytesIO(mask.content), formats=_FORMATS) as image:
            image.load()
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            if alpha is not None and _lowest(alpha) < _MIDDLE:
                if _lowest(alpha) == _CHANGE and _is_ready(mask):
                    return mask
                alpha = alpha.point([_CHANGE] * _MIDDLE + [_KEEP] * _MIDDLE)
            else:
                alpha = image.convert("L").point([_KEEP] * _MIDDLE + [_CHANGE] * _MIDDLE)
    except _BROKEN:
        raise _unreadable(mask.filename) from None
    if _lowest(alpha) != _CHANGE:
        raise BadSource("The mask marks nothing. Make the part to paint transparent, or white on black.")
    plain = Image.new("RGBA", alpha.size)
    plain.putalpha(alpha)
    return _saved(plain, "PNG", mask.filename, {"compress_level": 6})


def _is_ready(mask: Picture) -> bool:
    return mask.content_type == "image/png" and len(mask.content) < MAXIMUM_MASK


def _lowest(channel: Image.Image) -> int:
    """The smallest value in a picture of one channel."""
    return next(value for value, count in enumerate(channel.histogram()) if count)


def _shrink(picture: Picture, limit: int) -> Picture | None:
    try:
        with Image.open(BytesIO(picture.content), formats=_FORMATS) as opened:
            upright = ImageOps.exif_transpose(opened)
    except _BROKEN:
        return None
    transparent = upright.has_transparency_data
    image = upright.convert("RGBA" if transparent else "RGB")
    for candidate in _candidates(image, "WEBP" if transparent else "JPEG", picture.filename, limit):
        if len(candidate.content) <= limit:
            return candidate
    return None


def _candidates(image: Image.Image, kind: str, filename: str, limit: int) -> Iterator[Picture]:
    """Ever smaller ones: four qualities at full size, then one quality at sizes that come near the limit."""
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    last = None
    for quality in _QUALITIES:
        last = _saved(image, kind, filename, {"quality": quality})
        yield last
        if len(last.content) > limit * 4:
            break
    while last is not None and max(image.size) > _SMALLEST_SIDE:
        scale = min(0.8, max(0.2, (limit / len(last.content)) ** 0.5))
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        last = _saved(image, kind, filename, {"quality": 80})
        if max(image.size) >= _SMALLEST_SIDE:
            yield last
