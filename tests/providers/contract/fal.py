"""fal: its queue followed by polling, by its stream of events, and with the operator's own OpenAI key."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from bot.domain.money import Money
from bot.providers.fal.provider import SPEC, FalProvider
from bot.providers.shared.spec import ProviderDeps
from bot.sandbox.fal.options import PublicHosts
from bot.sandbox.fal.server import FalSandbox
from tests.providers.contract.variant import BOMB, HUGE, Fault, Lack, Stage, Switches, Variant, switch

OPENAI_KEY = "sk-the-operators-own"
TEXT_TOKEN, PICTURE_TOKEN, PAINTED_TOKEN = 5, 10, 40
"""Micro-dollars at OpenAI: https://openai.com/api/pricing, GPT Image 1."""
STAGES: Mapping[str, Stage] = {"IN_QUEUE": "queued", "IN_PROGRESS": "running", "COMPLETED": "over"}


def looking(variant: str, *, times: int = 2, **values: Any) -> Switches:
    """Faults of the status and the result. The stream has switches of its own; after it, the provider polls."""
    return switch(f"status_{variant}", times=times, **values) + switch(f"result_{variant}", times=times, **values)


class FalPolled(Variant):
    """The queue, polled."""

    service: ClassVar[str] = "fal"
    spec = SPEC
    sandbox: FalSandbox
    mode: ClassVar[str] = "polled"
    key: ClassVar[str] = "me:a-very-secret-key"
    wrong_key: ClassVar[str] = "other:key-that-nobody-has"
    secrets: ClassVar[tuple[str, ...]] = (key, "a-very-secret-key", OPENAI_KEY)
    reports_cost: ClassVar[bool] = False
    faults: ClassVar[Mapping[Fault, Switches]] = {
        "no money": switch("locked"),
        "model gone": switch("model_gone"),
        "too many": switch("submit_rate_limited"),
        "error 500": switch("submit_error"),
        "page 502": switch("submit_ingress"),
        "truncated": switch("submit_truncated"),
        "lost": switch("submit_lost"),
        "dropped": switch("submit_refused"),
        "slow": switch("submit_slow", seconds=5),
        "option refused at submit": switch("submit_invalid"),
        "stays queued": switch("stuck", body="IN_QUEUE"),
        "never ends": switch("stuck"),
        "run fails": switch("run_error"),
        "model ends": switch("run_gone"),
        "option refused later": (),
        "look: 500": looking("error") + switch("stream_error"),
        "look: 429": looking("error", status=429, error_type="rate_limited") + switch("stream_error", status=429),
        "look: page": looking("html") + switch("stream_html"),
        "look: truncated": looking("truncated") + switch("stream_garbled"),
        "look: reset": looking("reset") + switch("stream_cut"),
        "look: slow": looking("slow", times=1, seconds=5) + switch("stream_hang", seconds=5),
        "look: key refused": switch("unauthorized"),
        "look: away": switch("status_html") + switch("result_html") + switch("stream_html"),
        "picture: reset": switch("cdn_reset", times=1),
        "picture: slow": switch("cdn_slow", times=1),
        "picture: page type": switch("cdn_type"),
        "picture: huge": switch("cdn_huge", size=HUGE),
        "picture: gone": switch("cdn_error"),
        "picture: expired": switch("result_expired"),
        "picture: redirected": switch("cdn_redirect"),
        "picture: foreign": switch("foreign_picture"),
        "other type": switch("wrong_type"),
        "not a picture": switch("not_a_picture"),
        "bomb": switch("bomb", count=BOMB),
        "fewer": switch("fewer_pictures"),
        "model unlisted": switch("platform_gone"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "history away": "it lists nobody's requests",
        "found again": "it lists nobody's requests",
        "never arrived": "it lists nobody's requests",
        "no cost": "it never states a cost",
        "price before": "it states no price beforehand",
    }
    streams = False
    openai_key: str | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        self.sandbox = await stack.enter_async_context(
            FalSandbox(key=self.key, queue_seconds=0.01, run_seconds=0.01, one_picture=True, dollar_units=True)
        )

    def settings(self, origin: str) -> Mapping[str, Any]:
        return {
            "fal_queue_url": origin,
            "fal_rest_url": origin,
            "fal_api_url": f"{origin}/v1",
            "fal_stream": self.streams,
            "openai_api_key": self.openai_key,
        }

    def build(self, deps: ProviderDeps) -> FalProvider:
        return FalProvider(deps)

    def publish_at(self, origin: str) -> None:
        self.sandbox.hosts = PublicHosts.all_at(origin)

    @property
    def accepted(self) -> int:
        return sum(request.failure is None for request in self.sandbox.requests.values())

    @property
    def stage(self) -> Stage:
        requests = list(self.sandbox.requests.values())
        return STAGES[requests[-1].state] if requests else "nothing"

    @property
    def sent(self) -> Mapping[str, Any]:
        shown = list(self.sandbox.requests.values())[-1].shown
        return shown if isinstance(shown, dict) else {}

    @property
    def billed(self) -> Money:
        return Money(round(sum(request.units for request in self.sandbox.requests.values()) * 1_000_000))


class FalStreamed(FalPolled):
    """The queue, whose stream of events says when to look."""

    mode: ClassVar[str] = "streamed"
    streams = True


class FalOwnKey(FalPolled):
    """GPT Image 1, paid through the operator's own OpenAI key."""

    mode: ClassVar[str] = "own key"
    model: ClassVar[str] = "gpt-image-1"
    reports_cost: ClassVar[bool] = True
    lacks: ClassVar[Mapping[Lack, str]] = {**FalPolled.lacks, "no cost": "OpenAI's count always comes along"}
    openai_key: str | None = OPENAI_KEY

    @property
    def billed(self) -> Money:
        counts = [request.result["usage"] for request in self.sandbox.requests.values() if request.result]
        return Money(sum(map(_at_openai, counts)))


class FalFreeSizes(FalPolled):
    """Any size within bounds, and compression by the service."""

    mode: ClassVar[str] = "free sizes"
    model: ClassVar[str] = "gpt-image-2.5-flare"


class FalRatios(FalPolled):
    """Ratios and tiers in place of pixels, one quality, a seed."""

    mode: ClassVar[str] = "ratios"
    model: ClassVar[str] = "nano-banana-2"
    quality: ClassVar[str] = "medium"


class FalMegapixels(FalPolled):
    """Priced by the megapixel, one picture for each submit, a seed."""

    mode: ClassVar[str] = "megapixels"
    model: ClassVar[str] = "flux-2-pro"
    quality: ClassVar[str] = "medium"


class FalLarge(FalPolled):
    """Large pictures only, in a format that the service chooses."""

    mode: ClassVar[str] = "large only"
    model: ClassVar[str] = "seedream-5-lite"
    quality: ClassVar[str] = "medium"


def _at_openai(usage: Mapping[str, Any]) -> int:
    came: Mapping[str, int] = usage["input_tokens_details"]
    micros = came["text_tokens"] * TEXT_TOKEN + came["image_tokens"] * PICTURE_TOKEN
    return micros + int(usage["output_tokens"]) * PAINTED_TOKEN
