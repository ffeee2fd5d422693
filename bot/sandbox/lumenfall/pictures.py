"""Pictures for Lumenfall: reading those that come in, painting those that go out."""

import asyncio
import io
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from PIL import Image, ImageFilter

from bot.sandbox import painter
from bot.sandbox.lumenfall.options import LumenfallOptions
from bot.sandbox.lumenfall.schema import ImageParameters
from bot.sandbox.lumenfall.wire import LumenfallError, UploadedFile

_FILE_LIMIT = 50 * 1024 * 1024
_FILES_LIMIT = 10
_INPUT_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class Inputs:
    """An edit's sources and its mask; empty for a generation."""

    sources: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Of the first source, in pixels."""
        return self.sources[0].size if self.sources else None


async def inputs_of(files: Sequence[UploadedFile], executor: Executor) -> Inputs:
    """Read an edit's files: one `image` or several `image[]`, at most one `mask`. Failure INVALID_REQUEST."""
    singles = [file for file in files if file.field == "image"]
    listed = [file for file in files if file.field == "image[]"]
    masks = [file for file in files if file.field == "mask"]
    if len(singles) + bool(listed) != 1:
        raise LumenfallError("INVALID_REQUEST", "image: expected one file, or several as image[]")
    if len(listed) > _FILES_LIMIT or len(masks) > 1:
        raise LumenfallError("INVALID_REQUEST", f"image: at most {_FILES_LIMIT} files, and one mask")
    loop = asyncio.get_running_loop()
    images = [await loop.run_in_executor(executor, _opened, file) for file in singles + listed]
    if not masks:
        return Inputs(tuple(images))
    mask = await loop.run_in_executor(executor, _opened, masks[0])
    if mask.format != "PNG":
        raise LumenfallError("INVALID_REQUEST", "mask: must be a valid PNG file")
    if mask.size != images[0].size:
        raise LumenfallError("INVALID_REQUEST", "mask: must have the dimensions of the source image")
    if "A" not in mask.getbands() and "transparency" not in mask.info:
        raise LumenfallError("INVALID_REQUEST", "mask: must have an alpha channel")
    return Inputs(tuple(images), mask)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintJob:
    """What a painting thread needs, and nothing of the loop."""

    prompt: str
    size: tuple[int, int]
    kind: str
    transparent: bool
    compression: int | None
    pad_to: int | None
    inputs: Inputs

    @classmethod
    def of(cls, order: ImageParameters, options: LumenfallOptions, inputs: Inputs) -> "PaintJob":
        """The work that an order asks for."""
        paddable = order.output_format == "png" or (
            order.output_format == "jpeg" and order.output_compression is None
        )
        return cls(
            prompt="a lighthouse at sunset" if options.one_picture else order.prompt,
            size=order.pixels(inputs.size),
            kind=order.output_format,
            transparent=order.background == "transparent",
            compression=order.output_compression,
            pad_to=options.picture_bytes if paddable else None,
            inputs=inputs,
        )

    def picture(self, index: int) -> bytes:
        """Paint the picture with this number; slow, for a thread."""
        if self.inputs.sources:
            source, mask = self.inputs.sources[0], self.inputs.mask
            image = painter.edit(source, self.prompt, self.size, mask, index=index)
            return encoded(image, self.kind, self.compression, self.pad_to)
        plain = self.kind in painter.FORMATS and (self.compression is None or self.kind == "png")
        base = painter.painted(
            self.prompt,
            self.size,
            self.kind if plain else "png",
            index=index,
            transparent=self.transparent,
            pad_to=self.pad_to,
        )
        return base if plain else encoded(opened(base), self.kind, self.compression)

    def partial(self, content: bytes, index: int) -> bytes:
        """A sketch of a picture that is to come: blurred, each one less than that before it."""
        try:
            image = opened(content)
        except (OSError, Image.DecompressionBombError):
            return content  # a switch has spoilt it: it is sent as it is
        image = image if image.mode in ("RGB", "RGBA") else image.convert("RGBA")
        return encoded(image.filter(ImageFilter.GaussianBlur(24 >> index)), self.kind, self.compression)


def encoded(image: Image.Image, kind: str, compression: int | None = None, pad_to: int | None = None) -> bytes:
    """`image` in one of Lumenfall's five formats; `compression` is the quality of those that lose something."""
    if kind in painter.FORMATS and (compression is None or kind == "png"):
        return painter.encode(image, kind, pad_to=None if kind == "webp" else pad_to)
    buffer = io.BytesIO()
    if kind == "gif":
        image.save(buffer, "GIF")
    elif kind == "avif":
        image.save(buffer, "AVIF", quality=90 if compression is None else compression, speed=10)
    else:
        flat = image.convert("RGB") if kind == "jpeg" else image
        flat.save(buffer, kind.upper(), quality=compression)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    """The decoded picture."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _opened(file: UploadedFile) -> Image.Image:
    if len(file.content) > _FILE_LIMIT:
        raise LumenfallError("INVALID_REQUEST", f"{file.field}: file is too large")
    try:
        image = opened(file.content)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LumenfallError("INVALID_REQUEST", "Invalid image file provided") from error
    if image.format not in _INPUT_FORMATS:
        raise LumenfallError("INVALID_REQUEST", "Invalid image file provided")
    return image
