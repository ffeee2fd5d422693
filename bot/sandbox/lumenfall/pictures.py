"""Lumenfall's input pictures with their errors, and the work that the parameters ask of the painter."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from PIL import Image

from bot.sandbox.kit.pictures import ONE_PICTURE_PROMPT, PaintJob, decode, has_alpha
from bot.sandbox.kit.shapes import Size
from bot.sandbox.lumenfall.models.base import Model
from bot.sandbox.lumenfall.options import LumenfallOptions
from bot.sandbox.lumenfall.schema import ImageParameters
from bot.sandbox.lumenfall.wire import LumenfallError, UploadedFile

_FILE_LIMIT = 50 * 1024 * 1024
_INPUT_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


@dataclass(frozen=True, slots=True)
class Inputs:
    """An edit's sources and mask; empty for a generation."""

    sources: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None

    @property
    def size(self) -> Size | None:
        """The size of the first source."""
        return self.sources[0].size if self.sources else None

    @property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes of all sources."""
        return tuple(source.size for source in self.sources)


async def load_inputs(files: Sequence[UploadedFile], model: Model, executor: Executor) -> Inputs:
    """Decode an edit's files: one `image` or several `image[]`, at most one `mask`. INVALID_REQUEST."""
    singles = [file for file in files if file.field == "image"]
    listed = [file for file in files if file.field == "image[]"]
    masks = [file for file in files if file.field == "mask"]
    if len(singles) + bool(listed) != 1:
        raise LumenfallError("INVALID_REQUEST", "image: expected one file, or several as image[]")
    if len(listed) > model.most_sources or len(masks) > 1:
        raise LumenfallError("INVALID_REQUEST", f"image: at most {model.most_sources} files, and one mask")
    loop = asyncio.get_running_loop()
    images = [await loop.run_in_executor(executor, _decode, file) for file in singles + listed]
    if not masks or not model.takes_mask:
        return Inputs(tuple(images))
    mask = await loop.run_in_executor(executor, _decode, masks[0])
    if mask.format != "PNG":
        raise LumenfallError("INVALID_REQUEST", "mask: must be a valid PNG file")
    if mask.size != images[0].size:
        raise LumenfallError("INVALID_REQUEST", "mask: must have the dimensions of the source image")
    if not has_alpha(mask):
        raise LumenfallError("INVALID_REQUEST", "mask: must have an alpha channel")
    return Inputs(tuple(images), mask)


def _decode(file: UploadedFile) -> Image.Image:
    if len(file.content) > _FILE_LIMIT:
        raise LumenfallError("INVALID_REQUEST", f"{file.field}: file is too large")
    try:
        image = decode(file.content)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise LumenfallError("INVALID_REQUEST", "Invalid image file provided") from error
    if image.format not in _INPUT_FORMATS:
        raise LumenfallError("INVALID_REQUEST", "Invalid image file provided")
    return image


def paint_job(model: Model, params: ImageParameters, options: LumenfallOptions, inputs: Inputs) -> PaintJob:
    """The work for the painter."""
    kind, compression = params.output_format, params.output_compression
    paddable = kind == "png" or (kind == "jpeg" and compression is None)
    return PaintJob(
        prompt=ONE_PICTURE_PROMPT if options.one_picture else params.prompt,
        size=model.pixels(params, inputs.size),
        output_format=kind,
        transparent=params.background == "transparent",
        compression=compression,
        pad_to=options.picture_bytes if paddable else None,
        source=inputs.sources[0] if inputs.sources else None,
        mask=inputs.mask,
        seed=0 if options.one_picture else params.seed or 0,
    )
