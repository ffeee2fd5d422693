"""What each endpoint takes, as pydantic models: a refusal is pydantic's own, like fal's (fal: model errors)."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Size = Literal["1024x1024", "1536x1024", "1024x1536"]
SizeOrAuto = Literal["auto", "1024x1024", "1536x1024", "1024x1536"]
Urls = Annotated[list[str], Field(min_length=1, max_length=16)]


class ImageInput(BaseModel):
    """What all of them take."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(min_length=1, max_length=32_000)
    background: Literal["auto", "transparent", "opaque"] = "auto"
    num_images: int = Field(default=1, ge=1, le=4)
    output_format: Literal["jpeg", "png", "webp"] = "png"
    sync_mode: bool = False


class Generate15(ImageInput):
    """fal-ai/gpt-image-1.5"""

    image_size: Size = "1024x1024"
    quality: Literal["low", "medium", "high"] = "high"


class Edit15(ImageInput):
    """fal-ai/gpt-image-1.5/edit"""

    image_urls: Urls
    mask_image_url: str | None = None
    image_size: SizeOrAuto = "auto"
    quality: Literal["low", "medium", "high"] = "high"
    input_fidelity: Literal["low", "high"] = "high"


class Generate1(ImageInput):
    """fal-ai/gpt-image-1/text-to-image"""

    image_size: SizeOrAuto = "auto"
    quality: Literal["auto", "low", "medium", "high"] = "auto"


class Edit1(Generate1):
    """fal-ai/gpt-image-1/edit-image"""

    image_urls: Urls
    input_fidelity: Literal["low", "high"] = "high"


ENDPOINTS: dict[str, type[ImageInput]] = {
    "fal-ai/gpt-image-1.5": Generate15,
    "fal-ai/gpt-image-1.5/edit": Edit15,
    "fal-ai/gpt-image-1/text-to-image": Generate1,
    "fal-ai/gpt-image-1/edit-image": Edit1,
}


def problems(endpoint: str, body: Any) -> list[dict[str, Any]]:
    """The `detail` list for this input; empty when it is good."""
    try:
        ENDPOINTS[endpoint].model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [{**item, "loc": ["body", *item["loc"]], "input": shortened(item["input"])} for item in found]
    return []


def problem(loc: list[str | int], message: str, kind: str, **more: Any) -> dict[str, Any]:
    """One entry of a `detail` list as the models themselves write it (fal: errors)."""
    return {
        "loc": ["body", *loc],
        "msg": message,
        "type": kind,
        "url": f"https://docs.fal.ai/errors#{kind}",
        **more,
    }


def shortened(value: Any) -> Any:
    """The input without the pictures' bytes: data URIs become their type and length."""
    if isinstance(value, str):
        if value.startswith("data:"):
            head, _, data = value.partition(",")
            return f"{head},<{len(data)} characters>"
        return value if len(value) <= 4_000 else f"{value[:4_000]}<{len(value)} characters>"
    if isinstance(value, list):
        return [shortened(item) for item in value]
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    return value
