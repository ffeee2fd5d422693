"""Finds out what a file really is.

As a result a picture is decoded: it is posted and charged. Of a PNG every row is read, which proves as much and is
faster. As a source it is only looked at as far as it takes to refuse a cut or damaged file, since no provider
charges for one: a PNG's check sums, a WebP's lengths, a JPEG at an eighth of its size. No provider takes a GIF or
an AVIF as a source, so their first frame becomes a PNG.
"""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from bot.domain.pictures import Picture
from bot.pictures.errors import TooHeavy
from bot.pictures.files import SUFFIXES, TYPES, renamed, unreadable
from bot.pictures.opening import BROKEN, check_memory, opened, plain, saved
from bot.pictures.png import check_png

_FOREIGN = ("image/gif", "image/avif")
"""What Discord shows and no provider takes."""
_SMALLER = 8
"""How much smaller on each side a JPEG is decoded."""
_CHEAP = 32_000_000
"""Bytes that decoding a JPEG may take that is only a source."""
_END, _TRAILER = b"\xff\xd9", 65_536
"""A JPEG's last marker, and how much a camera may write behind it."""
_CONVERTING = {"image/gif": 4, "image/avif": 8}
"""Bytes for each pixel of the picture, and of its turned copy."""


def inspect(picture: Picture, *, allowed: int, result: bool) -> Picture:
    """The picture with all that is to know of it: before, only its content and its name are.

    Raises:
        BadSource: no PNG, JPEG, WebP, GIF or AVIF, cut short, or too many pixels.
        TooHeavy: it takes more than `allowed` bytes to find out.
    """
    try:
        with opened(picture, allowed) as image:
            content_type = TYPES[image.format or ""]
            width, height = image.size
            if content_type in _FOREIGN and not result:
                check_memory(image, allowed, extra=_CONVERTING[content_type])
                return _first_frame(image, picture.filename)
            if content_type == "image/png":
                check_png(picture, rows=result)
            elif result:
                _decode(image, allowed)
            elif content_type == "image/jpeg":
                _look_at(image, picture)
    except BROKEN:
        raise unreadable(picture.filename) from None
    name = renamed(picture.filename, SUFFIXES[content_type])
    return replace(picture, content_type=content_type, filename=name, width=width, height=height)


def _decode(image: Image.Image, allowed: int) -> None:
    check_memory(image, allowed, shrinking=_SMALLER)
    image.draft(None, (max(1, image.width // _SMALLER), max(1, image.height // _SMALLER)))
    image.load()


def _look_at(image: Image.Image, picture: Picture) -> None:
    """Decode a JPEG where that is cheap; of a large progressive one, only look for its end."""
    try:
        _decode(image, _CHEAP)
    except TooHeavy:
        with picture.open() as file:
            file.seek(max(0, picture.size - _TRAILER))
            trailer = file.read()
        if _END not in trailer:
            raise unreadable(picture.filename) from None


def _first_frame(image: Image.Image, filename: str) -> Picture:
    image.seek(0)
    return saved(plain(image), "PNG", filename, {"compress_level": 3})
