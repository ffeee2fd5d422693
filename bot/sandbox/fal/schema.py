"""Input schemas of the endpoints. Like fal's, their errors are pydantic's own (fal: model errors)."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from bot.sandbox.kit.records import SECRET_FIELD, redact

Size = Literal["1024x1024", "1536x1024", "1024x1536"]
SizeOrAuto = Literal["auto", "1024x1024", "1536x1024", "1024x1536"]
Preset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]
Urls = Annotated[list[str], Field(min_length=1, max_length=16)]

PRESETS: dict[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""Width and height in pixels, as fal's other models define the presets; for gpt-image-2 a guess."""

_LONGEST_EDGE, _FEWEST_PIXELS, _MOST_PIXELS = 3_840, 655_360, 8_294_400


class ImageInput(BaseModel):
    """The parameters that every endpoint takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(min_length=1, max_length=32_000)
    num_images: int = Field(default=1, ge=1, le=4)
    output_format: Literal["jpeg", "png", "webp"] = "png"
    sync_mode: bool = False


class WithBackground(ImageInput):
    """GPT Image 1 and 1.5."""

    background: Literal["auto", "transparent", "opaque"] = "auto"


class Generate15(WithBackground):
    """fal-ai/gpt-image-1.5"""

    image_size: Size = "1024x1024"
    quality: Literal["low", "medium", "high"] = "high"


class Edit15(WithBackground):
    """fal-ai/gpt-image-1.5/edit"""

    image_urls: Urls
    mask_image_url: str | None = None
    image_size: SizeOrAuto = "auto"
    quality: Literal["low", "medium", "high"] = "high"
    input_fidelity: Literal["low", "high"] = "high"


class Generate1(WithBackground):
    """fal-ai/gpt-image-1/text-to-image"""

    image_size: SizeOrAuto = "auto"
    quality: Literal["auto", "low", "medium", "high"] = "auto"


class Edit1(Generate1):
    """fal-ai/gpt-image-1/edit-image"""

    image_urls: Urls
    input_fidelity: Literal["low", "high"] = "high"


class Generate1Byok(Generate1):
    """fal-ai/gpt-image-1/text-to-image/byok"""

    openai_api_key: SecretStr = Field(min_length=1)


class Edit1Byok(Edit1):
    """fal-ai/gpt-image-1/edit-image/byok"""

    openai_api_key: SecretStr = Field(min_length=1)


class Pixels(BaseModel):
    """A custom size in pixels (fal: gpt-image-2)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    width: int = Field(ge=16, le=_LONGEST_EDGE, multiple_of=16)
    height: int = Field(ge=16, le=_LONGEST_EDGE, multiple_of=16)

    @model_validator(mode="after")
    def within_limits(self) -> Self:
        """Check the limits on aspect ratio and number of pixels."""
        if max(self.width, self.height) > 3 * min(self.width, self.height):
            raise ValueError("the aspect ratio is at most 3:1")
        if not _FEWEST_PIXELS <= self.width * self.height <= _MOST_PIXELS:
            raise ValueError(f"the number of pixels is from {_FEWEST_PIXELS} to {_MOST_PIXELS}")
        return self


class Generate2(ImageInput):
    """openai/gpt-image-2"""

    image_size: Preset | Pixels = "landscape_4_3"
    quality: Literal["auto", "low", "medium", "high"] = "high"


class Edit2(ImageInput):
    """openai/gpt-image-2/edit"""

    image_urls: Urls
    mask_url: str | None = None
    image_size: Preset | Literal["auto"] | Pixels = "auto"
    quality: Literal["auto", "low", "medium", "high"] = "high"


class Generate25(ImageInput):
    """openai/gpt-image-2.5/flare/text-to-image, and sunburst's. Like fal's, it passes over unknown fields."""

    model_config = ConfigDict(extra="ignore", strict=True)

    num_images: int = Field(default=1, ge=1, le=10)
    image_size: Preset | Literal["auto"] | Pixels = "landscape_4_3"
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] = "high"
    background: Literal["auto", "transparent", "opaque"] = "auto"
    output_compression: int | None = Field(default=None, ge=0, le=100)

    @model_validator(mode="after")
    def options_fit_the_format(self) -> Self:
        """Check that what is transparent or compressed has a format for it."""
        if self.background == "transparent" and self.output_format == "jpeg":
            raise ValueError("a transparent background needs png or webp")
        if self.output_compression is not None and self.output_format == "png":
            raise ValueError("output_compression is for jpeg and webp")
        return self


class Edit25(Generate25):
    """openai/gpt-image-2.5/flare/edit, and sunburst's."""

    image_urls: Urls
    mask_url: str | None = None
    image_size: Preset | Literal["auto"] | Pixels = "auto"


ENDPOINTS: dict[str, type[ImageInput]] = {
    "openai/gpt-image-2.5/flare/text-to-image": Generate25,
    "openai/gpt-image-2.5/flare/edit": Edit25,
    "openai/gpt-image-2.5/sunburst/text-to-image": Generate25,
    "openai/gpt-image-2.5/sunburst/edit": Edit25,
    "fal-ai/gpt-image-1.5": Generate15,
    "fal-ai/gpt-image-1.5/edit": Edit15,
    "fal-ai/gpt-image-1/text-to-image": Generate1,
    "fal-ai/gpt-image-1/edit-image": Edit1,
    "fal-ai/gpt-image-1/text-to-image/byok": Generate1Byok,
    "fal-ai/gpt-image-1/edit-image/byok": Edit1Byok,
    "openai/gpt-image-2": Generate2,
    "openai/gpt-image-2/edit": Edit2,
}


def size_of(params: ImageInput) -> tuple[int, int] | None:
    """Width and height in pixels that the parameters ask for; None: "auto"."""
    wanted: str | Pixels = getattr(params, "image_size", "auto")
    if isinstance(wanted, Pixels):
        return wanted.width, wanted.height
    if wanted == "auto":
        return None
    if wanted in PRESETS:
        return PRESETS[wanted]
    width, height = wanted.split("x")
    return int(width), int(height)


def mask_of(params: ImageInput) -> tuple[str, str | None]:
    """The name of the endpoint's mask parameter, and the mask's URL; None: no mask."""
    name = "mask_url" if isinstance(params, Edit2 | Edit25) else "mask_image_url"
    return name, getattr(params, name, None)


def problems(endpoint: str, body: Any) -> list[dict[str, Any]]:
    """The `detail` list for this input; empty when the input is valid."""
    try:
        ENDPOINTS[endpoint].model_validate(body)
    except ValidationError as error:
        return [_detail(dict(item)) for item in error.errors(include_url=False)]
    return []


def _detail(item: dict[str, Any]) -> dict[str, Any]:
    loc = ["body", *item["loc"]]
    entry = {**item, "loc": loc, "input": "<hidden>" if loc[-1] == SECRET_FIELD else redact(item["input"])}
    if "ctx" in entry:  # pydantic leaves the exception itself in there
        entry["ctx"] = {k: str(v) if isinstance(v, Exception) else v for k, v in entry["ctx"].items()}
    return entry


def problem(loc: list[str | int], message: str, kind: str, **more: Any) -> dict[str, Any]:
    """One entry of a `detail` list as the models themselves write it (fal: errors)."""
    return {
        "loc": ["body", *loc],
        "msg": message,
        "type": kind,
        "url": f"https://docs.fal.ai/errors#{kind}",
        **more,
    }
