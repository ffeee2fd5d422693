"""What Oxen's models have in common: their parameters as a JSON schema, their prices, and their model object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.sandbox.kit.catalog import ToldPrice
from bot.sandbox.kit.shapes import Size
from bot.sandbox.oxen.options import OxenOptions

Params = Mapping[str, Any]
Grid = Mapping[str, Mapping[str, float]]
"""US dollars of a picture by quality and resolution; a model without qualities has the row "high"."""

MAX_PROMPT = 32_000
ENVELOPE = frozenset({"num_generations", "target_namespace", "target_repo", "target_directory", "response_format"})
"""Fields that the queue accepts with every model (Oxen: async queue)."""


def choice(default: str, *values: str) -> dict[str, Any]:
    """The schema of a field with these values."""
    return {"type": "string", "enum": list(values), "default": default}


def whole_number(least: int | None = None, most: int | None = None, **more: Any) -> dict[str, Any]:
    """The schema of an integer within these bounds."""
    bounds = {"minimum": least, "maximum": most}
    return {"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}, **more}


def switch(*, default: bool) -> dict[str, Any]:
    """The schema of something on or off."""
    return {"type": "boolean", "default": default}


def input_images(most: int = 16) -> dict[str, Any]:
    """The schema of the input pictures; 16 where Oxen names no cap."""
    items = {"type": "string", "format": "uri"}
    about = "Pictures to edit or to follow."
    return {"type": "array", "items": items, "maxItems": most, "nullable": True, "description": about}


PROMPT = {"type": "string", "maxLength": MAX_PROMPT, "description": "What is to be seen, or how to edit."}
_EXTRA: dict[str, Any] = {
    "quality": choice("auto", "auto", "low", "medium", "high"),
    "background": choice("auto", "auto", "transparent", "opaque"),
    "input_fidelity": choice("low", "low", "high"),
    "user": {"type": "string"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model that makes pictures. `fields` are its parameters beside the prompt, as JSON schemas by name."""

    model_id: str
    display_name: str
    developer: str
    created: int
    """Seconds since 1970."""
    fields: Mapping[str, Any]
    pixels: Callable[[Params, float], Size]
    """The size for these parameters; the number is width over height where they leave the shape open."""
    cost_per_image: float | None = None
    """US dollars; with a grid: the cell that the defaults take, or None. Without both: the option's price."""
    grid: Grid | None = None
    edits_white: bool = False
    """Whether a mask's white is edited; else what is transparent."""

    def properties(self, options: OxenOptions) -> dict[str, Any]:
        """The parameters in the model's schema, by name."""
        fields = {"prompt": PROMPT, **self.fields}
        fields |= {name: _EXTRA[name] for name in options.extra_fields if name not in fields}
        dropped = options.dropped_fields.get(self.model_id, ())
        return {name: field for name, field in fields.items() if name not in dropped}

    def effective(self, params: Params, options: OxenOptions) -> dict[str, Any]:
        """The parameters that the model knows, with its defaults."""
        known = self.properties(options)
        defaults = {name: field["default"] for name, field in known.items() if "default" in field}
        given = {name: value for name, value in params.items() if name in known and value is not None}
        return defaults | given

    def as_json(self, options: OxenOptions) -> dict[str, Any]:
        """The model object of GET /ai/models (Oxen: models)."""
        schema = {"type": "object", "properties": self.properties(options), "required": ["prompt"]}
        shown = model_object(self.model_id, self.display_name, self.developer, self.created)
        return {
            **shown,
            "endpoint": "/images/generate",
            "capabilities": {"input": ["text", "image"], "output": ["image"]},
            "pricing": self._pricing(options),
            options.schema_name: schema,
        }

    def _pricing(self, options: OxenOptions) -> dict[str, Any]:
        flat, grid = self._told(options)
        pricing: dict[str, Any] = {
            "method": "per_image",
            "input_cost_per_token": None,
            "output_cost_per_token": None,
            "cost_per_second": None,
            "cost_per_image": flat,
        }
        return pricing if grid is None else {**pricing, "cost_per_image_grid": grid}

    def _told(self, options: OxenOptions) -> tuple[float | None, Grid | None]:
        told: ToldPrice | None = options.told_prices.get(self.model_id)
        if isinstance(told, int | float):
            return told, None
        if told is not None:
            return None, told
        factor = options.price_factors.get(self.model_id, 1.0)
        flat, grid = self._prices(options)
        dearer = {
            quality: {one: _times(cell, factor) for one, cell in row.items()} for quality, row in grid.items()
        }
        return None if flat is None else _times(flat, factor), dearer or None

    def _prices(self, options: OxenOptions) -> tuple[float | None, Grid]:
        """Of one picture: flat, and by quality and resolution; the latter counts, unless it is empty."""
        if self.cost_per_image is None and self.grid is None:
            return options.cost_per_image, options.cost_per_image_grid or {}
        return self.cost_per_image, self.grid or {}

    def cost(self, params: Params, options: OxenOptions) -> Decimal:
        """US dollars billed for one picture; a value without a price counts as the dearest."""
        flat, grid = self._prices(options)
        chosen = self.effective(params, options)
        price = flat or 0.0
        if grid:
            row = grid.get(str(chosen.get("quality", "high"))) or max(
                grid.values(), key=lambda one: max(one.values())
            )
            width, height = self.pixels(chosen, 1.0)
            names = (str(chosen.get("resolution")), str(chosen.get("size")), f"{width}x{height}")
            price = next((row[name] for name in names if name in row), max(row.values()))
        return Decimal(str(_times(price, options.price_factors.get(self.model_id, 1.0))))


def model_object(model_id: str, display_name: str, developer: str, created: int) -> dict[str, Any]:
    """The part of a model object that all kinds of models have."""
    return {
        "id": model_id,
        "object": "model",
        "created": created,
        "owned_by": "oxen",
        "display_name": display_name,
        "description": None,
        "summary": None,
        "model_type": "base",
        "fine_tuning": None,
        "deployments": [],
        "developer": {"name": developer, "logo": None},
        "source_model": None,
        "image_url": None,
        "released_at": None,
    }


def shape_of(ratio: str, otherwise: float) -> float:
    """Width over height of "W:H"; `otherwise` for a word such as "auto"."""
    width, _, height = ratio.partition(":")
    return int(width) / int(height) if height else otherwise


def picture_format(params: Params) -> str:
    """png, jpeg or webp, for parameters with their defaults."""
    name: str = params.get("output_format", "png")
    return "jpeg" if name == "jpg" else name


def problem(model: Model, params: Params, options: OxenOptions) -> str | None:
    """The first error in the parameters, or None. The queue checks when a row runs (Oxen: async queue)."""
    prompt = params.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        return "Prompt cannot be empty"
    known = model.properties(options)
    for name, value in params.items():
        if name in known:
            if (wrong := _wrong(known[name], value)) is not None:
                return f"Invalid value for parameter '{name}': {wrong}"
        elif options.strict and name not in ENVELOPE:
            return f"Unknown parameter: '{name}'."
    return None


def _wrong(rule: Mapping[str, Any], value: Any) -> str | None:
    if value is None and rule.get("nullable"):
        return None
    match rule["type"]:
        case "array":
            return _wrong_list(rule, value)
        case "boolean":
            return None if isinstance(value, bool) else "expected a boolean"
        case "integer" | "number":
            return _wrong_number(rule, value)
    if not isinstance(value, str):
        return "expected a string"
    if len(value) > rule.get("maxLength", len(value)):
        return f"longer than {rule['maxLength']} characters"
    return _not_offered(rule, value)


def _wrong_list(rule: Mapping[str, Any], value: Any) -> str | None:
    items = [value] if isinstance(value, str) else value  # the edit call's page shows a bare string
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return "expected an array of strings"
    return None if 0 < len(items) <= rule["maxItems"] else f"expected 1 to {rule['maxItems']} items"


def _wrong_number(rule: Mapping[str, Any], value: Any) -> str | None:
    kinds = int if rule["type"] == "integer" else int | float
    if not isinstance(value, kinds) or isinstance(value, bool):
        return f"expected a{'n' if kinds is int else ''} {rule['type']}"
    if not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        return f"must be between {rule.get('minimum')} and {rule.get('maximum')}"
    return _not_offered(rule, value)


def _not_offered(rule: Mapping[str, Any], value: Any) -> str | None:
    if "enum" in rule and value not in rule["enum"]:
        return f"must be one of {', '.join(map(str, rule['enum']))}"
    return None


def _times(price: float, factor: float) -> float:
    return float(Decimal(str(price)) * Decimal(str(factor)))
