"""Lumenfall's models, by id: a file for each family."""

from collections.abc import Mapping

from bot.sandbox.lumenfall.models import google, listed, openai
from bot.sandbox.lumenfall.models.base import Model
from bot.sandbox.lumenfall.wire import LumenfallError, RequestBody

MODELS: Mapping[str, Model] = {model.model_id: model for model in (*openai.MODELS, *google.MODELS, *listed.MODELS)}
ROUTES = {
    "openai": "OpenAI",
    "gemini": "Google Gemini",
    "vertex": "Google Vertex AI",
    "fal": "fal.ai",
    "replicate": "Replicate",
    "byteplus": "BytePlus",
}
"""Providers that run the models, and their names."""
_NAMES = {alias: model.model_id for model in MODELS.values() for alias in model.aliases}


def model_id(name: str) -> str:
    """The model's own id for an alias; any other name unchanged."""
    return _NAMES.get(name, name)


def requested_model(body: RequestBody) -> str:
    """The model that a body names, maybe with a provider's prefix; LumenfallError INVALID_REQUEST."""
    name = body.values.get("model")
    if not isinstance(name, str) or not name:
        raise LumenfallError("INVALID_REQUEST", "model: expected a model's id")
    return name
