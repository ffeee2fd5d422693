"""fal's input pictures with their errors, and the work that the parameters ask of the painter."""

from PIL import Image

from bot.sandbox.fal.models.base import ImageInput
from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.wire import model_error, problem
from bot.sandbox.kit.inputs import INPUT_LIMIT, InputError, InputPictures
from bot.sandbox.kit.pictures import ONE_PICTURE_PROMPT, PaintJob, has_alpha
from bot.sandbox.kit.records import redact


async def load_inputs(inputs: InputPictures, params: ImageInput) -> tuple[list[Image.Image], Image.Image | None]:
    """The sources and the mask; FalError 422 that names the unusable input (fal: file inputs)."""
    sources = []
    for place, url in enumerate(params.source_urls):
        source = await _load(inputs, url, ["image_urls", place])
        if refused := params.refused_source(source.size):
            kind, limits = refused
            text = "The image is too small" if kind == "image_too_small" else "The image is too large"
            entry = problem(["image_urls", place], text, kind, ctx=limits, input=redact(url))
            raise model_error(422, [entry])
        sources.append(source)
    if params.mask is None:
        return sources, None
    field, mask = params.mask_field, await _load(inputs, params.mask, [params.mask_field])
    wrong = ""
    if mask.size != sources[0].size:
        wrong = "Value error, the mask must have the size of the first image"
    elif not has_alpha(mask):
        wrong = "Value error, the mask must have an alpha channel"
    if wrong:
        entry = problem([field], wrong, "value_error", input=redact(params.mask))
        raise model_error(422, [entry])
    return sources, mask


async def _load(inputs: InputPictures, url: str, loc: list[str | int]) -> Image.Image:
    try:
        return await inputs.load(url)
    except InputError as error:
        more = {"ctx": {"max_size": INPUT_LIMIT}} if error.kind == "file_too_large" else {}
        raise model_error(422, [problem(loc, error.message, error.kind, **more, input=redact(url))]) from error


def paint_job(
    params: ImageInput, options: FalOptions, sources: list[Image.Image], mask: Image.Image | None
) -> PaintJob:
    """The work for the painter."""
    return PaintJob(
        prompt=ONE_PICTURE_PROMPT if options.one_picture else params.prompt,
        size=params.pixels(sources[0].size if sources else None),
        output_format=params.picture_format,
        transparent=getattr(params, "background", "auto") == "transparent",
        compression=getattr(params, "output_compression", None),
        pad_to=options.picture_bytes,
        source=sources[0] if sources else None,
        mask=mask,
        seed=0 if options.one_picture else params.used_seed,
    )
