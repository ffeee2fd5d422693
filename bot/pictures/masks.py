"""Makes a mask what providers want: a PNG that is transparent where to paint."""

from __future__ import annotations

from PIL import Image, ImageOps

from bot.domain.errors import BadSource
from bot.domain.pictures import Picture
from bot.pictures.files import unreadable
from bot.pictures.opening import BROKEN, check_memory, eight_bits, opened, saved

MAXIMUM_MASK = 4_000_000
"""Bytes. OpenAI's image API takes masks below 4 MB: https://platform.openai.com/docs/api-reference/images"""

_KEEP, _CHANGE = 255, 0
_MIDDLE = 128


def as_mask(mask: Picture, *, allowed: int, white: bool = False) -> Picture:
    """The mask as a clear PNG, itself if it is one; or `white` on black.

    Raises:
        BadSource: it marks nothing, or cannot be read.
        TooHeavy: it takes more than `allowed` bytes.
    """
    try:
        with opened(mask, allowed) as image:
            check_memory(image, allowed, extra=2)
            image.load()
        alpha = _alpha(image)
        if alpha is not None and _lowest(alpha) < _MIDDLE:
            if not white and _lowest(alpha) == _CHANGE and _is_ready(mask):
                return mask
            alpha = alpha.point([_CHANGE] * _MIDDLE + [_KEEP] * _MIDDLE)
        else:
            alpha = eight_bits(image).convert("L").point([_KEEP] * _MIDDLE + [_CHANGE] * _MIDDLE)
    except BROKEN:
        raise unreadable(mask.filename) from None
    del image  # which may have as many bytes as the mask that is made now
    if _lowest(alpha) != _CHANGE:
        raise BadSource("The mask marks nothing. Make the part to paint transparent, or white on black.")
    if white:
        return saved(ImageOps.invert(alpha).convert("RGB"), "PNG", mask.filename, {"compress_level": 6})
    clear = Image.new("RGBA", alpha.size)
    clear.putalpha(alpha)
    return saved(clear, "PNG", mask.filename, {"compress_level": 6})


def _alpha(image: Image.Image) -> Image.Image | None:
    if not image.has_transparency_data:
        return None
    return (image if "A" in image.getbands() else eight_bits(image).convert("RGBA")).getchannel("A")


def _is_ready(mask: Picture) -> bool:
    return mask.content_type == "image/png" and mask.size < MAXIMUM_MASK


def _lowest(channel: Image.Image) -> int:
    """The smallest value in a picture of one channel."""
    return next(value for value, count in enumerate(channel.histogram()) if count)
