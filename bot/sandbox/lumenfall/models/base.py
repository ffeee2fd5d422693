"""What Lumenfall's models have in common: which parameters they know, who runs them, and how they are billed."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bot.sandbox.kit.shapes import Size
from bot.sandbox.lumenfall.schema import GATEWAY_FIELDS, ImageParameters
from bot.sandbox.lumenfall.wire import LumenfallError, RequestBody

Part = dict[str, Any]
"""A part of a bill: `unit_price` in dollars, `total_cost` in micro-dollars."""
MEGAPIXEL = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is billed: `count` pictures of `size` made by the provider `route`, from pictures of these sizes."""

    size: Size
    count: int
    route: str
    sources: Sequence[Size] = ()


@dataclass(frozen=True, kw_only=True)
class Model(ABC):
    """One model. `fields` are the parameters that it knows beside the gateway's own."""

    model_id: str
    owner: str
    created: int
    """When Lumenfall added it, in seconds since 1970."""
    routes: tuple[str, ...]
    """The providers that can run it, first the one that is asked first."""
    most_sources: int
    fields: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()
    takes_mask: bool = False
    """Else a mask is passed over."""

    @abstractmethod
    def pixels(self, params: ImageParameters, source: Size | None) -> Size:
        """The size of the pictures; `source` is the first input picture's."""

    @abstractmethod
    def components(self, params: ImageParameters, work: Work) -> list[Part]:
        """The parts of the bill."""

    def check(self, params: ImageParameters) -> None:
        """LumenfallError INVALID_REQUEST for parameters that this model refuses."""
        if params.background == "transparent" and params.output_format == "jpeg":
            raise invalid("background: transparent needs an output_format with transparency")

    def usage(self, params: ImageParameters, work: Work) -> dict[str, Any] | None:
        """OpenAI's token counts; None for a model of another maker."""
        return None

    def parse(
        self, body: RequestBody, *, multipart: bool, prompt_cap: int, dropped: Collection[str] = ()
    ) -> ImageParameters:
        """The parameters that the model knows. INVALID_REQUEST names the first invalid one."""
        # The gateway itself reads `user`, for its history.
        known = (GATEWAY_FIELDS | self.fields | {"user"}) - set(dropped)
        values = {name: value for name, value in body.values.items() if value is not None and name in known}
        try:
            params = ImageParameters.model_validate(values, strict=not multipart)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            text = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise LumenfallError("INVALID_REQUEST", text) from error
        if len(params.prompt) > prompt_cap:
            text = f"prompt: Too big: expected string to have <={prompt_cap} characters"
            raise LumenfallError("INVALID_REQUEST", text)
        self.check(params)
        return params

    def schema(self, dropped: Collection[str] = ()) -> dict[str, Any]:
        """The compiled JSON schema of the model page (lumenfall: models, `schema=true`)."""
        whole = ImageParameters.model_json_schema()["properties"]
        known = (GATEWAY_FIELDS | self.fields) - set(dropped)
        properties = {name: field for name, field in whole.items() if name in known}
        files = ("image", "mask") if self.takes_mask else ("image",)
        properties |= {name: {"type": "string", "format": "binary"} for name in files if name not in dropped}
        return {"type": "object", "required": ["model", "prompt"], "properties": properties}


def part(kind: str, metric: str, quantity: int, micros: int) -> Part:
    """A part of a bill, for so many units at `micros` micro-dollars each."""
    return {
        "type": kind,
        "metric": metric,
        "quantity": quantity,
        "billable_quantity": quantity,
        "unit_price": micros / 1_000_000,
        "total_cost": quantity * micros,
    }


def total(parts: list[Part]) -> int:
    """The sum of a bill in micro-dollars."""
    return sum(int(one["total_cost"]) for one in parts)


def invalid(text: str) -> LumenfallError:
    """The refusal of a parameter."""
    return LumenfallError("INVALID_REQUEST", text)
