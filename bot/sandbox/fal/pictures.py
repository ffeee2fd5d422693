"""fal's input pictures with their errors, and the work that the parameters ask of the painter."""

from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.schema import ImageInput, mask_of, problem, size_of
from bot.sandbox.fal.wire import model_error
from bot.sandbox.kit.inputs import INPUT_LIMIT, InputError, InputPictures
from bot.sandbox.kit.pictures import ONE_PICTURE_PROMPT, PaintJob, has_alpha
from bot.sandbox.kit.records import redact


async def load_inputs(inputs: InputPictures, params: ImageInput) -> tuple[list[Image.Image], Image.Image | None]:
    """The sources and the mask; FalError 422 that names the unusable input (fal: file inputs)."""
    urls: list[str] = getattr(params, "image_urls", [])
    sources = [await _load(inputs, url, ["image_urls", place]) for place, url in enumerate(urls)]
    field, mask_url = mask_of(params)
    if mask_url is None:
        return sources, None
    mask = await _load(inputs, mask_url, [field])
    wrong = ""
    if mask.size != sources[0].size:
        wrong = "Value error, the mask must have the size of the first image"
    elif not has_alpha(mask):
        wrong = "Value error, the mask must have an alpha channel"
    if wrong:
        entry = problem([field], wrong, "value_error", input=redact(mask_url))
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
    """The work for the painter; the size "auto" is the known size nearest to the first source's shape."""
    size = size_of(params)
    if size is None:
        shape = sources[0].width / sources[0].height if sources else 1.0
        size = min(painter.SIZES, key=lambda known: abs(known[0] / known[1] - shape))
    return PaintJob(
        prompt=ONE_PICTURE_PROMPT if options.one_picture else params.prompt,
        size=size,
        output_format=params.output_format,
        transparent=getattr(params, "background", "auto") == "transparent",
        pad_to=options.picture_bytes,
        source=sources[0] if sources else None,
        mask=mask,
    )
