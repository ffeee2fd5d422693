"""The parameters of Lumenfall's GPT image models (lumenfall: gpt-image-1.5, gpt-image-2)."""

import math
import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bot.sandbox.kit.records import SECRET_FIELD
from bot.sandbox.lumenfall.wire import LumenfallError, RequestBody

MODELS = {"gpt-image-1": 1_745_366_400, "gpt-image-1.5": 1_765_843_200, "gpt-image-2": 1_776_729_600}
"""Model id: when Lumenfall added it, in seconds since 1970."""
ROUTES = {"openai": "OpenAI", "fal": "fal.ai", "replicate": "Replicate"}
FORMATS = ("png", "jpeg", "gif", "webp", "avif")
SHAPES = {"1:1": (1024, 1024), "2:3": (1024, 1536), "3:2": (1536, 1024)}
_ODD_SIZES = ((836, 1254), (1254, 836))
_LONGEST_SIDE, _MOST_PIXELS = 3_840, 3_840 * 2_160
_RATIO = re.compile(r"(\d{1,5}(?:\.\d+)?):(\d{1,5}(?:\.\d+)?)")
_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})")
_TIER = re.compile(r"\d{1,3}(\.\d+)?K?")


class ImageParameters(BaseModel):
    """A request's parameters; unknown ones are accepted."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    n: int = Field(default=1, ge=1, le=10)
    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    quality: Literal["low", "medium", "high"] | None = None
    response_format: Literal["url", "b64_json"] = "url"
    output_format: Literal["png", "jpeg", "gif", "webp", "avif"] = "png"
    output_compression: int | None = Field(default=None, ge=0, le=100)
    background: Literal["opaque", "transparent"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    moderation: Literal["low"] | None = None
    user: str | None = None
    user_id: str | None = None
    openai_api_key: str | None = None
    stream: bool = False
    partial_images: int = Field(default=0, ge=0, le=3)
    sync_mode: bool = False

    @model_validator(mode="after")
    def _known_size(self) -> Self:
        if self.size is None or _shape(self.size):
            return self
        match = _PIXELS.fullmatch(self.size)
        size = (int(match[1]), int(match[2])) if match else (0, 0)
        if self.bare_model == "gpt-image-2":
            if not 0 < max(size) <= _LONGEST_SIDE or size[0] * size[1] > _MOST_PIXELS:
                raise ValueError("expected WxH up to 3840x2160, or W:H")
        elif size not in _ODD_SIZES and not all(1024 <= side <= 1536 for side in size):
            raise ValueError("expected WxH with 1024 to 1536 pixels per side, or W:H")
        return self

    @model_validator(mode="after")
    def _known_background(self) -> Self:
        if self.bare_model == "gpt-image-2" and self.background == "transparent":
            raise ValueError("this model paints no transparent background")
        return self

    @field_validator("aspect_ratio")
    @classmethod
    def _known_ratio(cls, value: str | None) -> str | None:
        if value is not None and not _shape(value):
            raise ValueError("expected W:H")
        return value

    @field_validator("resolution")
    @classmethod
    def _known_tier(cls, value: str | None) -> str | None:
        if value is not None and not _TIER.fullmatch(value):
            raise ValueError('expected a tier such as "1K" or megapixels')
        return value

    @property
    def bare_model(self) -> str:
        """The model without a provider's prefix."""
        return self.model.rpartition("/")[2]

    def pixels(self, source: tuple[int, int] | None) -> tuple[int, int]:
        """Width and height of the pictures; by default the known size nearest to the source's shape."""
        if self.size is not None and (match := _PIXELS.fullmatch(self.size)):
            return int(match[1]), int(match[2])
        wanted = self.size or self.aspect_ratio
        shape = _shape(wanted) if wanted else None
        if shape is None:
            shape = source[0] / source[1] if source else 1.0
        return nearest(shape)


def nearest(shape: float) -> tuple[int, int]:
    """The known size whose shape is nearest to this width/height."""
    return min(SHAPES.values(), key=lambda size: abs(math.log(size[0] / size[1] / shape)))


def parse_parameters(body: RequestBody, *, multipart: bool, prompt_cap: int) -> ImageParameters:
    """The parameters; LumenfallError INVALID_REQUEST names the first invalid one."""
    values = {name: value for name, value in body.values.items() if value is not None}
    try:
        params = ImageParameters.model_validate(values, strict=not multipart)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise LumenfallError("INVALID_REQUEST", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if len(params.prompt) > prompt_cap:
        text = f"prompt: Too big: expected string to have <={prompt_cap} characters"
        raise LumenfallError("INVALID_REQUEST", text)
    if params.background == "transparent" and params.output_format == "jpeg":
        raise LumenfallError("INVALID_REQUEST", "background: transparent needs an output_format with transparency")
    return params


def redacted(body: RequestBody) -> dict[str, Any]:
    """The values without long texts and secrets, for the record."""
    return {name: "<secret>" if name == SECRET_FIELD else _truncated(value) for name, value in body.values.items()}


def parameters_schema() -> dict[str, Any]:
    """The compiled JSON schema of the model page (lumenfall: models, `schema=true`)."""
    schema = ImageParameters.model_json_schema()
    return {"type": "object", "required": schema["required"], "properties": schema["properties"]}


def _shape(text: str) -> float | None:
    match = _RATIO.fullmatch(text)
    if match is None or not float(match[1]) or not float(match[2]):
        return None
    return float(match[1]) / float(match[2])


def _truncated(value: Any) -> Any:
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= 4_000 else f"{text[:4_000]}<{len(text)} characters>"
