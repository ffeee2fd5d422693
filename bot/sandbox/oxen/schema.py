"""Oxen's models: their parameters, model objects and prices (Oxen: models, the models' own pages)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bot.sandbox.oxen.options import OxenOptions

MAX_PROMPT, MAX_INPUTS = 32_000, 16
ENVELOPE = frozenset({"num_generations", "target_namespace", "target_repo", "target_directory", "response_format"})
"""Fields that the queue accepts with every model (Oxen: async queue)."""

_GRID_2 = {
    "low": {"1K": 0.004, "2K": 0.009, "4K": 0.035},
    "medium": {"1K": 0.031, "2K": 0.071, "4K": 0.281},
    "high": {"1K": 0.13, "2K": 0.29, "4K": 1.13},
}
_GRID_25 = {
    "low": {"1K": 0.0041, "2K": 0.0058, "4K": 0.0145},
    "medium": {"1K": 0.0096, "2K": 0.0134, "4K": 0.0337},
    "high": {"1K": 0.0369, "2K": 0.0517, "4K": 0.1301},
    "xhigh": {"1K": 0.0656, "2K": 0.0919, "4K": 0.2313},
    "max": {"1K": 0.1477, "2K": 0.2067, "4K": 0.5203},
}
_LONG_SIDE = {"512": 512, "1K": 1024, "2K": 2048, "4K": 3840}
_SIZES = {"square": (1024, 1024), "portrait": (1024, 1536), "landscape": (1536, 1024)}
_FIXED_SHAPES = ((1024, 1024), (1536, 1024), (1024, 1536))


def _choice(default: str, *values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values), "default": default}


_COMMON: dict[str, Any] = {
    "prompt": {"type": "string", "maxLength": MAX_PROMPT, "description": "What is to be seen, or how to edit."},
    "input_image": {
        "type": "array",
        "items": {"type": "string", "format": "uri"},
        "maxItems": MAX_INPUTS,
        "description": "Pictures to edit or to follow.",
    },
    "output_format": _choice("png", "webp", "jpeg", "png"),
}
_EXTRA: dict[str, Any] = {
    "quality": _choice("auto", "auto", "low", "medium", "high"),
    "background": _choice("auto", "auto", "transparent", "opaque"),
    "input_fidelity": _choice("low", "low", "high"),
    "user": {"type": "string"},
}
_RATIOS = ("auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `fields` is None for a model that makes no pictures."""

    model_id: str
    display_name: str
    created: int
    fields: Mapping[str, Any] | None
    grid: Mapping[str, Mapping[str, float]] | None = None
    edits_white: bool = False
    """Whether a mask's white is edited; else what is transparent."""

    def properties(self, options: OxenOptions) -> dict[str, Any]:
        """The parameters in the model's schema, by name."""
        fields = dict(self.fields or {})
        return fields | {name: _EXTRA[name] for name in options.extra_fields if name not in fields}

    def as_json(self, options: OxenOptions) -> dict[str, Any]:
        """The model object of GET /ai/models (Oxen: models)."""
        paints = self.fields is not None
        grid = self.grid or options.cost_per_image_grid
        pricing: dict[str, Any] = {
            "method": "per_image" if paints else "token",
            "input_cost_per_token": None if paints else 1.5e-7,
            "output_cost_per_token": None if paints else 6.0e-7,
            "cost_per_second": None,
            "cost_per_image": options.cost_per_image if paints else None,
        }
        if paints and grid is not None:
            pricing["cost_per_image_grid"] = grid
        schema = {"type": "object", "properties": self.properties(options), "required": ["prompt"]}
        return {
            "id": self.model_id,
            "object": "model",
            "created": self.created,
            "owned_by": "oxen",
            "display_name": self.display_name,
            "description": None,
            "summary": None,
            "model_type": "base",
            "endpoint": "/images/generate" if paints else "/chat/completions",
            "capabilities": {"input": ["text", "image"], "output": ["image" if paints else "text"]},
            "pricing": pricing,
            "fine_tuning": None,
            "deployments": [],
            "developer": {"name": "OpenAI", "logo": None},
            "source_model": None,
            "image_url": None,
            "released_at": None,
            options.schema_name: schema if paints else None,
        }

    def cost(self, params: Mapping[str, Any], options: OxenOptions) -> Decimal:
        """US dollars for one picture; a missing parameter counts as the dearest value."""
        grid = self.grid or options.cost_per_image_grid
        if grid is None:
            return Decimal(str(options.cost_per_image))
        row = grid.get(str(params.get("quality", "high"))) or max(grid.values(), key=lambda one: max(one.values()))
        width, height = _SIZES.get(str(params.get("size")), _SIZES["square"])
        resolution = str(params.get("resolution", "2K"))
        return Decimal(str(row.get(resolution) or row.get(f"{width}x{height}") or max(row.values())))

    def size(self, params: Mapping[str, Any], shape: float) -> tuple[int, int]:
        """Width and height in pixels; `shape` is width over height where the parameters leave it open."""
        if "aspect_ratio" not in (self.fields or {}):
            fixed = _SIZES.get(str(params.get("size")))
            return fixed or min(_FIXED_SHAPES, key=lambda known: abs(known[0] / known[1] - shape))
        ratio = params.get("aspect_ratio", "16:9")
        if ratio != "auto":
            width, height = (int(part) for part in ratio.split(":"))
            shape = width / height
        long = _LONG_SIDE[params.get("resolution", "2K")]
        return (long, round(long / shape)) if shape >= 1 else (round(long * shape), long)


_GOOGLES_RATIOS = ("auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9")


def _gpt_image_25(model_id: str, display_name: str) -> Model:
    fields = {
        **_COMMON,
        "mask_url": {"type": "string", "format": "uri", "description": "What is transparent is edited."},
        "aspect_ratio": _choice("16:9", *_RATIOS),
        "resolution": _choice("2K", "1K", "2K", "4K"),
        "quality": _choice("high", "low", "medium", "high", "xhigh", "max"),
        "background": _choice("auto", "auto", "opaque", "transparent"),
        "moderation": _choice("low", "low", "auto"),
    }
    return Model(model_id, display_name, 1_788_825_600, fields, _GRID_25)


MODELS: Mapping[str, Model] = {
    model.model_id: model
    for model in (
        Model(
            "gpt-image-1-5",
            "GPT Image 1.5",
            1_765_843_200,
            {**_COMMON, "size": _choice("auto", "auto", "square", "portrait", "landscape")},
        ),
        Model(
            "gpt-image-2",
            "GPT Image 2",
            1_776_729_600,
            {
                **_COMMON,
                "mask_url": {"type": "string", "format": "uri", "description": "White is edited, black is kept."},
                "aspect_ratio": _choice("16:9", *_RATIOS),
                "resolution": _choice("2K", "1K", "2K", "4K"),
                "quality": _choice("high", "low", "medium", "high"),
            },
            _GRID_2,
            edits_white=True,
        ),
        _gpt_image_25("gpt-image-2-5-flare", "GPT Image 2.5 Flare"),
        _gpt_image_25("gpt-image-2-5-sunburst", "GPT Image 2.5 Sunburst"),
        Model(
            "nano-banana-2",
            "Nano Banana 2",
            1_772_064_000,
            {
                "prompt": _COMMON["prompt"],
                "input_image": _COMMON["input_image"],
                "aspect_ratio": _choice("16:9", *_GOOGLES_RATIOS, "4:1", "1:4", "8:1", "1:8"),
                "resolution": _choice("2K", *_LONG_SIDE),
            },
            {"any": {"512": 0.0585, "1K": 0.0871, "2K": 0.1313, "4K": 0.1963}},
        ),
        Model(
            "google-nano-banana-pro",
            "Nano Banana Pro",
            1_763_596_800,
            {
                "prompt": _COMMON["prompt"],
                "input_image": {**_COMMON["input_image"], "maxItems": 14},
                "aspect_ratio": _choice("16:9", *_GOOGLES_RATIOS),
                "resolution": _choice("2K", "1K", "2K", "4K"),
            },
            {"any": {"1K": 0.15, "2K": 0.15, "4K": 0.15}},
        ),
        Model("gpt-4o-mini", "GPT-4o mini", 1_721_260_800, None),
    )
}


def problem(model: Model, params: Mapping[str, Any], options: OxenOptions) -> str | None:
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
    if rule["type"] == "array":
        items = [value] if isinstance(value, str) else value  # the edit call's page shows a bare string
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            return "expected an array of strings"
        return None if 0 < len(items) <= rule["maxItems"] else f"expected 1 to {rule['maxItems']} items"
    if not isinstance(value, str):
        return "expected a string"
    if len(value) > rule.get("maxLength", len(value)):
        return f"longer than {rule['maxLength']} characters"
    if "enum" in rule and value not in rule["enum"]:
        return f"must be one of {', '.join(rule['enum'])}"
    return None
