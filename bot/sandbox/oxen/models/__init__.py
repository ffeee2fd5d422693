"""Oxen's models, by id: a file for each maker's."""

from collections.abc import Mapping
from typing import Any

from bot.sandbox.oxen.models import flux, google, openai, seedream
from bot.sandbox.oxen.models.base import Model, model_object
from bot.sandbox.oxen.options import OxenOptions

MODELS: Mapping[str, Model] = {
    model.model_id: model for model in (*openai.MODELS, *google.MODELS, *flux.MODELS, *seedream.MODELS)
}
TALKS: Mapping[str, str] = {"gpt-4o-mini": "GPT-4o mini"}
"""Ids and names of models that make no pictures."""


def model_objects(options: OxenOptions) -> dict[str, dict[str, Any]]:
    """The model objects of GET /ai/models, by id."""
    shown = {model_id: model.as_json(options) for model_id, model in MODELS.items()}
    return shown | {model_id: _talking(model_id, name, options) for model_id, name in TALKS.items()}


def _talking(model_id: str, name: str, options: OxenOptions) -> dict[str, Any]:
    pricing = {"method": "token", "input_cost_per_token": 1.5e-7, "output_cost_per_token": 6.0e-7}
    return {
        **model_object(model_id, name, "OpenAI", 1_721_260_800),
        "endpoint": "/chat/completions",
        "capabilities": {"input": ["text", "image"], "output": ["text"]},
        "pricing": {**pricing, "cost_per_second": None, "cost_per_image": None},
        options.schema_name: None,
    }
