"""Checks of a request by the figures that Discord sends along, before anything is read or reserved."""

from __future__ import annotations

import unicodedata
from math import ceil

from bot.domain.errors import BadPrompt, BadSource
from bot.domain.requests import MAXIMUM_PROMPT, MAXIMUM_SOURCES, ImageRequest, Source

MAXIMUM_SOURCE_BYTES = 20 * 1024 * 1024
"""What Discord lets everybody upload."""
MAXIMUM_PIXELS = 50_000_000
"""Width times height. Decoded, a picture of this size takes 200 MB."""
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Invisible, although Unicode counts them as letters or signs."""


def check_request(request: ImageRequest) -> None:
    """Refuse a request that cannot be done.

    Raises:
        BadPrompt: empty or too long.
        BadSource: too many pictures, too many bytes or pixels, no picture at all, a mask of another size.
    """
    # Control, format and white-space characters, or marks without a letter, are no prompt.
    if all(unicodedata.category(letter)[0] in "CMZ" or letter in BLANK_LETTERS for letter in request.prompt):
        raise BadPrompt("Your prompt is empty. Tell Easel what to paint.")
    if len(request.prompt) > MAXIMUM_PROMPT:
        raise BadPrompt(prompt_too_long(request.prompt, MAXIMUM_PROMPT))
    if len(request.sources) > MAXIMUM_SOURCES:
        raise BadSource(
            f"You gave {len(request.sources)} pictures; an edit takes up to {MAXIMUM_SOURCES}. Leave some out."
        )
    for source in request.pictures:
        _check_source(source)
    if request.mask is not None and request.sources:
        mask, picture = request.mask, request.sources[0]
        if mask.width and mask.height and picture.width and picture.height:
            check_mask_size((mask.width, mask.height), (picture.width, picture.height))


def _check_source(source: Source) -> None:
    if source.content_type is not None and not source.content_type.startswith("image/"):
        raise BadSource(f"{source.filename} is not a picture. Send a PNG, JPEG or WebP.")
    if source.size > MAXIMUM_SOURCE_BYTES:
        raise BadSource(
            f"{source.filename} has {ceil(source.size / 1024 / 1024)} MB; "
            f"the most is {MAXIMUM_SOURCE_BYTES // 1024 // 1024} MB. Send a smaller one."
        )
    if source.width and source.height:
        check_pixels(source.filename, source.width, source.height)


def check_pixels(filename: str, width: int, height: int) -> None:
    """Refuse a picture that is too large to be decoded.

    Raises:
        BadSource: it has more than `MAXIMUM_PIXELS`.
    """
    if width * height > MAXIMUM_PIXELS:
        raise BadSource(
            f"{filename} has {ceil(width * height / 1e6)} megapixels; "
            f"the most is {MAXIMUM_PIXELS / 1e6:.0f}. Send a smaller one."
        )


def check_mask_size(mask: tuple[int, int], picture: tuple[int, int]) -> None:
    """Refuse a mask whose width and height are not its picture's.

    Raises:
        BadSource: they differ.
    """
    if mask != picture:
        raise BadSource(
            f"The mask is {mask[0]}×{mask[1]} and the picture {picture[0]}×{picture[1]}. "
            "Both must have the same size."
        )


def prompt_too_long(prompt: str, most: int) -> str:
    """The sentence for a prompt of more than `most` characters."""
    return f"Your prompt has {len(prompt):,} characters; the most is {most:,}. Shorten it a little."
