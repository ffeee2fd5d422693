"""fal's endpoints, by id: a file for each family of models."""

from collections.abc import Mapping

from bot.sandbox.fal.models import flux, google, gpt_image_1, gpt_image_2, qwen, seedream
from bot.sandbox.fal.models.base import Endpoint

ENDPOINTS: Mapping[str, Endpoint] = {
    **gpt_image_2.ENDPOINTS,
    **gpt_image_1.ENDPOINTS,
    **google.ENDPOINTS,
    **flux.ENDPOINTS,
    **seedream.ENDPOINTS,
    **qwen.ENDPOINTS,
}
