"""Checks of a request by the figures that Discord sends along, before anything is read or reserved."""

from __future__ import annotations

import unicodedata
from math import ceil

from bot.domain.errors import BadPrompt, BadSource
from bot.domain.requests import MAXIMUM_PROMPT, MAXIMUM_SOURCES, ImageRequest, Source

MAXIMUM_SOURCE_BYTES = 20 * 1024 * 1024
"""What Discord lets everybody upload."""
MAXIMUM_PIXELS = 50_000_000
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and a sign by their category, and still nobody sees them."""


def check(request: ImageRequest) -> None:
    """Refuse what Discord's own figures already show.

    Raises:
        BadPrompt: empty or too long.
        BadSource: too many pictures, too many bytes or pixels, no picture at all, a mask of another size.
    """
    # Control, format and white-space characters alone say nothing, nor do marks without a letter.
    if all(unicodedata.category(letter)[0] in "CMZ" or letter in BLANK_LETTERS for letter in request.prompt):
        raise BadPrompt("Your prompt is empty. Tell Easel what to paint.")
    if len(request.prompt) > MAXIMUM_PROMPT:
        raise BadPrompt(
            f"Your prompt has {len(request.prompt):,} characters; the most is {MAXIMUM_PROMPT:,}. "
            "Shorten it a little."
        )
    if len(request.sources) > MAXIMUM_SOURCES:
        raise BadSource(
            f"You gave {len(request.sources)} pictures; an edit takes up to {MAXIMUM_SOURCES}. Leave some out."
        )
    for source in request.pictures:
        _check_source(source)
    if request.mask is not None and request.sources:
        _check_mask(request.mask, request.sources[0])


def _check_source(source: Source) -> None:
    if source.content_type is not None and not source.content_type.startswith("image/"):
        raise BadSource(f"{source.filename} is not a picture. Send a PNG, JPEG or WebP.")
    if source.size > MAXIMUM_SOURCE_BYTES:
        raise BadSource(
            f"{source.filename} has {ceil(source.size / 1024 / 1024)} MB; "
            f"the most is {MAXIMUM_SOURCE_BYTES // 1024 // 1024} MB. Send a smaller one."
        )
    if source.width and source.height and source.width * source.height > MAXIMUM_PIXELS:
        raise BadSource(
            f"{source.filename} has {ceil(source.width * source.height / 1e6)} megapixels; "
            f"the most is {MAXIMUM_PIXELS / 1e6:.0f}. Send a smaller one."
        )


def _check_mask(mask: Source, picture: Source) -> None:
    if not (mask.width and mask.height and picture.width and picture.height):
        return
    if (mask.width, mask.height) != (picture.width, picture.height):
        raise BadSource(
            f"The mask is {mask.width}×{mask.height} and the picture {picture.width}×{picture.height}. "
            "Both must have the same size."
        )
