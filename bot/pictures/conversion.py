"""Makes other files of a picture: in another format, smaller, or as a preview."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from bot.domain.errors import BadSource, InvalidResponse
from bot.domain.pictures import Picture
from bot.pictures.files import shown
from bot.pictures.opening import BROKEN, check_memory, opened, plain, saved

_CONVERTING = {"PNG": 8, "JPEG": 8, "WEBP": 12, "GIF": 12, "AVIF": 24}
"""Bytes for each pixel that writing a format takes beside the decoded picture, measured with Pillow 13."""
_QUALITIES = (92, 85, 75, 60)
_SMALLEST_SIDE = 64
_PREVIEW_SIDE = 640
_LARGEST_SIDE = 4_096
"""Pixels on the longer side, of a picture that must be made smaller anyway."""


def convert(picture: Picture, *, allowed: int, kind: str, quality: int | None) -> Picture:
    """The picture in another of Pillow's formats.

    Raises:
        InvalidResponse: it cannot be decoded.
        TooHeavy: it takes more than `allowed` bytes.
    """
    try:
        with opened(picture, allowed) as image:
            check_memory(image, allowed, extra=_CONVERTING[kind])
            made = plain(image)
        if made.mode == "RGBA" and kind == "JPEG":
            # The colour behind transparent pixels is often black.
            backdrop = Image.new("RGB", made.size, "white")
            backdrop.paste(made, mask=made.getchannel("A"))
            made = backdrop
        options = {} if quality is None or kind in ("PNG", "GIF") else {"quality": max(1, quality)}
        return saved(made, kind, picture.filename, options)
    except BROKEN:
        raise InvalidResponse(detail="not decodable") from None


def preview(picture: Picture, *, allowed: int) -> Picture | None:
    """A small version of an unfinished picture; None where the bytes are no picture.

    Raises:
        TooHeavy: it takes more than `allowed` bytes.
    """
    try:
        with opened(picture, allowed) as image:
            image.draft("RGB", (_PREVIEW_SIDE, _PREVIEW_SIDE))
            check_memory(image, allowed, extra=4)
            small = plain(image)
        small.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        return saved(small, "WEBP", "preview", {"quality": 80})
    except (*BROKEN, BadSource):
        return None


def fit(picture: Picture, *, allowed: int, least_side: int, most_area: int) -> Picture:
    """The same picture with at least `least_side` pixels to the shorter side, and at most `most_area` in all.

    Raises:
        BadSource: it is too long and narrow to be both.
        TooHeavy: it takes more than `allowed` bytes.
    """
    scale = max(1.0, least_side / min(picture.width, picture.height))
    scale = min(scale, (most_area / (picture.width * picture.height)) ** 0.5)
    width, height = int(picture.width * scale), int(picture.height * scale)
    if min(width, height) < least_side - 1:
        raise BadSource(f"{shown(picture.filename)} is too long and narrow for this model. Send another one.")
    with opened(picture, allowed) as image:
        image.draft("RGB", (width, height))
        check_memory(image, allowed, extra=4 + 8 * scale**2)
        lying = image.size
        made = plain(image)
        if made.size != lying:  # a photo that says by how much it is turned, and is upright now
            width, height = height, width
        made = made.resize((max(width, least_side), max(height, least_side)), Image.Resampling.LANCZOS)
    if picture.content_type == "image/jpeg" and made.mode == "RGB":
        return saved(made, "JPEG", picture.filename, {"quality": 95})
    return saved(made, "PNG", picture.filename, {"compress_level": 3})


def shrink(picture: Picture, *, allowed: int, limit: int) -> Picture | None:
    """The same picture in at most `limit` bytes; None if it cannot be done.

    Raises:
        TooHeavy: it takes more than `allowed` bytes.
    """
    try:
        with opened(picture, allowed) as image:
            image.draft("RGB", (_LARGEST_SIDE, _LARGEST_SIDE))
            check_memory(image, allowed, extra=_shrinking(image))
            if image.mode in ("RGB", "RGBA", "L"):
                image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
            made = plain(image)
    except (*BROKEN, BadSource):
        return None
    for candidate in _candidates(made, picture.filename, limit):
        if len(candidate.content) <= limit:
            return candidate
    return None


def _shrinking(image: Image.Image) -> float:
    """Bytes for each pixel beside the decoded picture: another mode's copy, then those of the smaller picture."""
    pixels = image.width * image.height
    copies = 12 * min(pixels, _LARGEST_SIDE**2) / pixels
    return copies if image.mode in ("RGB", "RGBA", "L") else max(copies, 4)


def _candidates(image: Image.Image, filename: str, limit: int) -> Iterator[Picture]:
    """Ever smaller ones: four qualities at full size, then one quality at sizes that come near the limit."""
    kind = "WEBP" if image.mode == "RGBA" else "JPEG"
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    last = None
    for quality in _QUALITIES:
        last = saved(image, kind, filename, {"quality": quality})
        yield last
        if len(last.content) > limit * 4:
            break
    while last is not None and max(image.size) > _SMALLEST_SIDE:
        scale = min(0.8, max(0.2, (limit / len(last.content)) ** 0.5))
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        last = saved(image, kind, filename, {"quality": 80})
        if max(image.size) >= _SMALLEST_SIDE:
            yield last
