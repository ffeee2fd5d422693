"""What fal's endpoints have in common: their parameters, the sizes by name, and how an endpoint is listed."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.sandbox.fal.wire import model_error
from bot.sandbox.kit.pictures import seed_for
from bot.sandbox.kit.records import SECRET_FIELD, redact
from bot.sandbox.kit.shapes import Size

Preset = Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]
Urls10 = Annotated[list[str], Field(min_length=1, max_length=10)]

PRESETS: dict[str, Size] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
"""As fal's open models define the presets; for gpt-image-2 and 2.5 a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a request was billed for: `count` pictures of `size`, made from input pictures of these sizes."""

    size: Size
    count: int
    sources: Sequence[Size] = ()


class ImageInput(BaseModel, ABC):
    """The parameters that every endpoint takes, and what follows from them.

    Unknown fields are refused: of most endpoints it is not known, and a misspelt field shows.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    mask_field: ClassVar[str] = "mask_url"
    """The parameter with the mask's URL, where there is one."""
    more_output: ClassVar[Mapping[str, Any]] = {}
    """JSON schemas of what the answer has beside `images`."""

    prompt: str = Field(min_length=1, max_length=32_000)
    sync_mode: bool = False

    @property
    def count(self) -> int:
        """How many pictures are asked for."""
        return int(getattr(self, "num_images", 1))

    @property
    def picture_format(self) -> str:
        """png, jpeg or webp."""
        return str(getattr(self, "output_format", "png"))

    @property
    def source_urls(self) -> list[str]:
        """The input pictures."""
        return list(getattr(self, "image_urls", ()))

    @property
    def mask(self) -> str | None:
        """The mask's URL."""
        url: str | None = getattr(self, self.mask_field, None)
        return url

    @property
    def used_seed(self) -> int:
        """The given seed, else the one that the stand-in draws for this prompt; 0 for a model without seeds."""
        if "seed" not in type(self).model_fields:
            return 0
        given: int | None = getattr(self, "seed", None)
        return seed_for(self.prompt) if given is None else given

    @abstractmethod
    def pixels(self, source: Size | None) -> Size:
        """The size of the pictures; `source` is the first input picture's."""

    @abstractmethod
    def cost(self, work: Work) -> float:
        """US dollars for the work."""

    def output(self, work: Work) -> dict[str, Any]:
        """What the answer has beside `images`."""
        return {"seed": self.used_seed} if "seed" in self.more_output else {}

    def refused_source(self, size: Size) -> tuple[str, dict[str, int]] | None:
        """Type and `ctx` of the error for an input picture of this size; None: it is taken."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint: its input, and how the platform lists it."""

    title: str
    category: Literal["text-to-image", "image-to-image"]
    schema: type[ImageInput]
    unit_price: float = 1.0
    """US dollars for one unit."""
    unit: Literal["images", "megapixels", "units"] = "units"
    """What is counted; "units" are dollars."""
    counts_pictures: bool = False
    """Whether x-fal-billable-units is the number of pictures, whatever their quality makes them cost."""

    def units(self, cost: float, count: int) -> float:
        """x-fal-billable-units of `count` pictures that cost so many dollars at the usual unit price."""
        return count if self.counts_pictures else round(cost / self.unit_price, 8)

    def parse(self, body: Any, dropped: Collection[str] = ()) -> ImageInput:
        """The parameters. FalError 422; fields in `dropped` are treated as unknown."""
        rest, found = body, []
        if isinstance(body, dict):
            rest = {name: value for name, value in body.items() if name not in dropped}
            if self.schema.model_config.get("extra") == "forbid":
                found = [_unknown_field(name, body[name]) for name in body if name in dropped]
        try:
            params = self.schema.model_validate(rest)
        except ValidationError as error:
            found += [_detail(dict(item)) for item in error.errors(include_url=False)]
        if found:
            raise model_error(422, found)
        return params


def text_and_edit(
    title: str, endpoints: tuple[str, str], schemas: tuple[type[ImageInput], type[ImageInput]], **listing: Any
) -> dict[str, Endpoint]:
    """A model's two endpoints, by id: one paints from words, the other from pictures as well."""
    made, edited = schemas
    return {
        endpoints[0]: Endpoint(title=title, category="text-to-image", schema=made, **listing),
        endpoints[1]: Endpoint(title=title, category="image-to-image", schema=edited, **listing),
    }


def shape_of(source: Size | None) -> float:
    """Width over height of the source; a square without one."""
    return source[0] / source[1] if source else 1.0


def _detail(item: dict[str, Any]) -> dict[str, Any]:
    """A pydantic error as an entry of `detail`: fal's are pydantic's own (fal: model errors)."""
    loc = ["body", *item["loc"]]
    entry = {**item, "loc": loc, "input": "<hidden>" if loc[-1] == SECRET_FIELD else redact(item["input"])}
    if "ctx" in entry:  # pydantic leaves the exception itself in there
        entry["ctx"] = {k: str(v) if isinstance(v, Exception) else v for k, v in entry["ctx"].items()}
    return entry


def _unknown_field(name: str, value: Any) -> dict[str, Any]:
    message = "Extra inputs are not permitted"
    return {"type": "extra_forbidden", "loc": ["body", name], "msg": message, "input": redact(value)}
