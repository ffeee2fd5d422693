"""Opens a picture with Pillow once its header shows that there is memory for what follows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import cast

from PIL import Image, ImageOps
from zlib_ng import zlib_ng

from bot.domain.checks import check_pixels
from bot.domain.pictures import Picture
from bot.pictures.errors import TooHeavy
from bot.pictures.files import HEADER, SUFFIXES, TYPES, header_size, renamed, shown

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
BROKEN = (
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
    cast("type[Exception]", zlib_ng.error),  # its stub takes the class for an instance
)
"""All that Pillow raises for files that are not what they claim."""
_HEADER = {"PNG": 0, "JPEG": 0, "MPO": 0, "WEBP": 8, "GIF": 0, "AVIF": 0}
"""Bytes for each pixel that opening takes."""
_DECODED = {"PNG": 4, "JPEG": 4, "MPO": 4, "WEBP": 16, "GIF": 1, "AVIF": 12}
"""Bytes for each pixel that opening and decoding take, measured with Pillow 13."""
_COEFFICIENTS = 6
"""The same for what libjpeg keeps of a progressive JPEG, at whatever size it is decoded."""


@contextmanager
def opened(picture: Picture, allowed: int) -> Iterator[Image.Image]:
    """The picture, opened and not decoded.

    Raises:
        TooHeavy: opening takes more than `allowed` bytes.
        BadSource: it has too many pixels for any work.
        One of BROKEN: it is no picture.
    """
    start = picture.start(HEADER)
    size = header_size(start)
    if size is not None:
        check_pixels(shown(picture.filename), *size)
        if start[:4] == b"RIFF" and size[0] * size[1] * _HEADER["WEBP"] > allowed:
            raise TooHeavy
    with Image.open(picture.open(), formats=FORMATS) as image:
        check_pixels(shown(picture.filename), *image.size)
        yield image


def check_memory(image: Image.Image, allowed: int, *, extra: float = 0, shrinking: int = 1) -> None:
    """Check that an opened picture can be decoded, and worked on with `extra` bytes for each pixel.

    `shrinking` is by how much a JPEG will be decoded smaller on each side.

    Raises:
        TooHeavy: it takes more than `allowed` bytes.
    """
    pixels = image.width * image.height
    decoded = pixels * _DECODED[image.format or ""]
    if image.format in ("JPEG", "MPO"):
        decoded //= shrinking**2
        decoded += _COEFFICIENTS * pixels if image.info.get("progressive") else 0
    if decoded + extra * pixels > allowed:
        raise TooHeavy


def plain(image: Image.Image) -> Image.Image:
    """The picture upright, as RGB or RGBA."""
    transparent = image.has_transparency_data
    ImageOps.exif_transpose(image, in_place=True)
    return eight_bits(image).convert("RGBA" if transparent else "RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits with the upper eight: Pillow's own conversion makes all above 255 white."""
    if not image.mode.startswith("I;16"):
        return image
    image.load()
    high = 0 if image.mode.endswith("B") else 1
    grey = Image.frombytes("L", image.size, image.tobytes()[high::2])
    if isinstance(transparent := image.info.get("transparency"), int):
        grey.info["transparency"] = transparent >> 8
    return grey


def saved(image: Image.Image, kind: str, filename: str, options: dict[str, int]) -> Picture:
    """The image as a file of one of Pillow's formats."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    content_type = TYPES[kind]
    return Picture(
        stored=buffer.getvalue(),
        content_type=content_type,
        filename=renamed(filename, SUFFIXES[content_type]),
        width=image.width,
        height=image.height,
    )
