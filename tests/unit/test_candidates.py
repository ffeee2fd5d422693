"""Which providers can do a request, in which order, and what a member reads where none can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.catalog.catalog import Catalog
from bot.domain.errors import BadPrompt, UnsupportedRequest
from bot.domain.providers import KeyState, ModelStatus, ProviderHealth
from bot.domain.requests import ImageRequest, Source
from bot.routing.router import Router
from tests.support.clock import AdjustableClock
from tests.support.routing import MODEL, REQUEST, open_router, server_order

PICTURE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
EDIT = replace(REQUEST, sources=(PICTURE,))


def providers(router: Router, request: ImageRequest, *order: str) -> list[str]:
    """The candidates' providers, in a server's order where one is given."""
    orders = [server_order(request.model, *order)] if order else []
    return [candidate.provider for candidate in router.candidates(request, orders)]


def test_a_prompt_that_is_too_long_for_every_provider_is_refused(catalog: Catalog, clock: AdjustableClock) -> None:
    with pytest.raises(BadPrompt) as refusal:
        open_router(catalog, clock).candidates(replace(REQUEST, prompt="x" * 4001))
    assert refusal.value.sentence == "Your prompt has 4,001 characters; the most is 4,000. Shorten it a little."


def test_every_provider_that_can_do_a_request_is_a_candidate_in_order(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    assert providers(router, REQUEST) == ["fal", "lumenfall", "oxen"]
    assert providers(router, replace(EDIT, mask=PICTURE)) == ["fal", "lumenfall"]
    assert providers(router, REQUEST, "oxen", "fal") == ["oxen", "fal"]


def test_a_providers_own_schema_decides_whether_it_can_do_a_request(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    router = open_router(catalog, clock)
    transparent = replace(REQUEST, background="transparent")
    assert providers(router, transparent) == ["fal", "lumenfall"]
    status = ModelStatus(
        model=MODEL, fields={"imagine": frozenset({"prompt", "output_format", "size", "background"})}
    )
    router.refresh(ProviderHealth(provider="oxen", key=KeyState.WORKS, models=(status,)))
    assert providers(router, transparent) == ["fal", "lumenfall", "oxen"]


def test_a_model_without_a_provider_is_refused_with_the_available_ones(
    catalog: Catalog, clock: AdjustableClock
) -> None:
    with pytest.raises(UnsupportedRequest) as refusal:
        open_router(catalog, clock, ("lumenfall",)).candidates(replace(REQUEST, model="gpt-image-2"))
    assert refusal.value.sentence == "GPT Image 2 cannot be had here. Choose GPT Image 1.5 or GPT Image 1."
    with pytest.raises(UnsupportedRequest) as refusal:
        open_router(catalog, clock, ()).candidates(REQUEST)
    assert refusal.value.sentence == "GPT Image 1.5 cannot be had here. Ask a moderator to switch a model on."


def test_only_an_available_model_is_recommended(catalog: Catalog, clock: AdjustableClock) -> None:
    masked = replace(EDIT, model="gpt-image-1", mask=PICTURE)
    with pytest.raises(UnsupportedRequest, match=r"Choose GPT Image 1\.5 or GPT Image 2 as"):
        open_router(catalog, clock, ("fal",)).candidates(masked)
    with pytest.raises(UnsupportedRequest) as refusal:
        open_router(catalog, clock, ("oxen",)).candidates(replace(masked, model=MODEL))
    assert refusal.value.sentence == (
        "GPT Image 1.5 takes no mask. Ask without one, and say in the prompt what should change."
    )
