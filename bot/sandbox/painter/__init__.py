"""Paints a picture from a prompt, the same one for the same prompt, for the stand-ins of image services.

A scene is read out of the prompt's words (sunset, snow, sea, forest, night, city, lighthouse, cat); what
the words leave open, a hash of the prompt decides. Nothing here reads a file, a font or the network.
"""

import hashlib
import io
import math
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image, ImageChops, ImageOps

from bot.sandbox.painter import scene

SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
FORMATS = ("png", "jpeg", "webp")

_GRAIN = 4
"""Amplitude of the paper grain, in levels of 255; it makes a PNG as large as a photograph's."""

_OVERSAMPLE = 2
"""The picture is drawn at this multiple and reduced, since Pillow's polygons have hard edges."""

_MOST_DRAWN = 1_600_000
"""Pixels; a larger picture is drawn smaller, without grain, and enlarged: one of 4096 x 4096 took seconds."""


def paint(
    prompt: str, size: tuple[int, int], *, index: int = 0, transparent: bool = False, noise: int = _GRAIN
) -> Image.Image:
    """A picture of `prompt`, `size` pixels (width, height): RGB, or RGBA without its sky when `transparent`.

    The same arguments give the same pixels. `index` tells the pictures of one request apart; `noise` is the
    grain in levels of 255 (0: none, small files; 60: a PNG near its raw size).
    """
    rng = _random(prompt, size, index)
    plan = scene.plan(prompt, rng)
    drawn = _drawn_size(size)
    large = (drawn[0] * _OVERSAMPLE, drawn[1] * _OVERSAMPLE)
    picture = scene.draw(plan, large, rng, transparent=transparent).reduce(_OVERSAMPLE)
    return _grained(picture, rng, noise) if drawn == size else picture.resize(size, Image.Resampling.BILINEAR)


def edit(
    source: Image.Image,
    prompt: str,
    size: tuple[int, int] | None = None,
    mask: Image.Image | None = None,
    *,
    index: int = 0,
) -> Image.Image:
    """`source` visibly changed and still recognisable: "snow" adds snow, "night" darkens it.

    `size` crops and scales to width, height in pixels (None: as the source). `mask` has the source's size:
    where it is opaque the picture stays bit for bit, where it is transparent it may change. ValueError: a mask
    of another size or without an alpha channel.
    """
    if mask is not None and mask.size != source.size:
        raise ValueError(f"the mask is {mask.size}, the picture {source.size}")
    if mask is not None and "A" not in mask.getbands() and "transparency" not in mask.info:
        raise ValueError("the mask has no alpha channel")
    base = _plain(source)
    if size is not None and size != base.size:
        base = ImageOps.fit(base, size)
    rng = _random(f"edit:{prompt}", base.size, index)
    drawn = _drawn_size(base.size)
    changed = base.convert("RGB")
    if drawn == base.size:
        changed = _grained(scene.change(changed, prompt, rng), rng, 2)
    else:
        small = changed.resize(drawn, Image.Resampling.BILINEAR, reducing_gap=1.0)
        changed = scene.change(small, prompt, rng).resize(base.size, Image.Resampling.BILINEAR)
    if base.mode == "RGBA":
        changed.putalpha(base.getchannel("A"))
    if mask is None:
        return changed
    kept = mask.convert("RGBA").getchannel("A")
    if kept.size != base.size:
        kept = ImageOps.fit(kept, base.size, Image.Resampling.NEAREST)
    return Image.composite(base, changed, kept)


def encode(image: Image.Image, kind: str, *, pad_to: int | None = None) -> bytes:
    """`image` as "png", "jpeg" or "webp".

    `pad_to`: at least so many bytes, filled up with a chunk that every decoder skips (exact but for a dozen
    bytes; ValueError for WebP).
    """
    buffer = io.BytesIO()
    match kind:
        case "png":
            image.save(buffer, "PNG", compress_level=1)
        case "jpeg":
            _flat(image).save(buffer, "JPEG", quality=90)
        case "webp":
            image.save(buffer, "WEBP", quality=88, method=1)
        case _:
            raise ValueError(f"no such format: {kind}")
    content = buffer.getvalue()
    return content if pad_to is None else _padded(content, kind, pad_to)


@lru_cache(maxsize=48)
def painted(
    prompt: str,
    size: tuple[int, int],
    kind: str = "png",
    *,
    index: int = 0,
    transparent: bool = False,
    pad_to: int | None = None,
) -> bytes:
    """`paint` and `encode`, with a cache of the results."""
    return encode(paint(prompt, size, index=index, transparent=transparent), kind, pad_to=pad_to)


def _random(prompt: str, size: tuple[int, int], index: int) -> random.Random:
    seed = hashlib.sha256(f"{prompt}|{size[0]}x{size[1]}|{index}".encode()).digest()
    return random.Random(seed)


def _drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = math.sqrt(_MOST_DRAWN / (size[0] * size[1]))
    return size if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def _plain(image: Image.Image) -> Image.Image:
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    mode = "RGBA" if has_alpha else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _flat(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _grained(picture: Image.Image, rng: random.Random, amplitude: int) -> Image.Image:
    if amplitude <= 0:
        return picture
    width, height = picture.size
    speckle = Image.frombytes("L", (width, height), rng.randbytes(width * height))
    table = [128 + round((level - 128) * amplitude / 128) for level in range(256)]
    speckle = speckle.point(table)
    colours = picture.convert("RGB")
    grained = ImageChops.add(colours, Image.merge("RGB", (speckle,) * 3), 1, -128)
    if picture.mode == "RGBA":
        grained.putalpha(picture.getchannel("A"))
    return grained


def _padded(content: bytes, kind: str, pad_to: int) -> bytes:
    missing = pad_to - len(content)
    if missing <= 0:
        return content
    if kind == "png":
        body = random.Random(missing).randbytes(max(missing - 12, 0))
        chunk = struct.pack(">I", len(body)) + b"eaSl" + body
        chunk += struct.pack(">I", zlib.crc32(b"eaSl" + body))
        return content[:-12] + chunk + content[-12:]
    if kind == "jpeg":
        filler = bytearray()
        while len(filler) < missing:
            body = random.Random(len(filler)).randbytes(max(0, min(60_000, missing - len(filler) - 4)))
            filler += b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body
        return content[:2] + bytes(filler) + content[2:]
    raise ValueError("a WebP cannot be padded")
