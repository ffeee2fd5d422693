"""The parameters of an image request. Each model knows some of them; what it does not know is passed over."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bot.sandbox.kit.records import SECRET_FIELD
from bot.sandbox.kit.shapes import Size
from bot.sandbox.lumenfall.wire import RequestBody

FORMATS = ("png", "jpeg", "gif", "webp", "avif")
GATEWAY_FIELDS = frozenset(
    {
        *("model", "prompt", "n", "size", "aspect_ratio", "resolution"),
        *("response_format", "output_format", "output_compression"),
    }
)
"""What the gateway itself serves for every model."""
_RATIO = re.compile(r"(\d{1,5}(?:\.\d+)?):(\d{1,5}(?:\.\d+)?)")
_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})")
_TIER = re.compile(r"(\d{1,3}(?:\.\d+)?)K?")


class ImageParameters(BaseModel):
    """A request's parameters; unknown ones are accepted."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    n: int = Field(default=1, ge=1, le=10)
    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    response_format: Literal["url", "b64_json"] = "url"
    output_format: Literal["png", "jpeg", "gif", "webp", "avif"] = "png"
    output_compression: int | None = Field(default=None, ge=0, le=100)
    quality: Literal["low", "medium", "high"] | None = None
    background: Literal["opaque", "transparent"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    moderation: Literal["low"] | None = None
    user: str | None = None
    user_id: str | None = None
    openai_api_key: str | None = None
    stream: bool = False
    partial_images: int = Field(default=0, ge=0, le=3)
    sync_mode: bool = False
    seed: int | None = None

    @field_validator("size")
    @classmethod
    def _known_size(cls, value: str | None) -> str | None:
        if value is not None and value != "auto" and not shape_in(value) and not _PIXELS.fullmatch(value):
            raise ValueError("expected WxH, or W:H")
        return value

    @field_validator("aspect_ratio")
    @classmethod
    def _known_ratio(cls, value: str | None) -> str | None:
        if value is not None and value != "auto" and not shape_in(value):
            raise ValueError("expected W:H")
        return value

    @field_validator("resolution")
    @classmethod
    def _known_tier(cls, value: str | None) -> str | None:
        if value is not None and value != "auto" and not _TIER.fullmatch(value):
            raise ValueError('expected a tier such as "1K" or megapixels')
        return value

    @property
    def pixels(self) -> Size | None:
        """Width and height in `size`; None: it has none, or a shape."""
        match = _PIXELS.fullmatch(self.size or "")
        return (int(match[1]), int(match[2])) if match else None

    @property
    def tier(self) -> float | None:
        """The number in `resolution`; None: none, or "auto"."""
        match = _TIER.fullmatch(self.resolution or "")
        return float(match[1]) if match else None

    def shape(self, source: Size | None) -> float:
        """Width over height that is asked for, else the source's; a square without one."""
        if (pixels := self.pixels) and min(pixels):
            return pixels[0] / pixels[1]
        # `size` wins over `aspect_ratio`, also with a shape (lumenfall: unified model behavior).
        wanted = shape_in(self.size or "") or shape_in(self.aspect_ratio or "")
        return wanted or (source[0] / source[1] if source else 1.0)


def shape_in(text: str) -> float | None:
    """Width over height in "W:H"; None for any other text."""
    match = _RATIO.fullmatch(text)
    if match is None or not float(match[1]) or not float(match[2]):
        return None
    return float(match[1]) / float(match[2])


def redacted(body: RequestBody) -> dict[str, Any]:
    """The values without long texts and secrets, for the record."""
    return {name: "<secret>" if name == SECRET_FIELD else _truncated(value) for name, value in body.values.items()}


def _truncated(value: Any) -> Any:
    text = value if isinstance(value, str) else repr(value)
    return value if len(text) <= 4_000 else f"{text[:4_000]}<{len(text)} characters>"
