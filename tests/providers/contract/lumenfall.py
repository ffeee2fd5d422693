"""Lumenfall: pictures behind links, streamed while they are painted, and inside the response."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from bot.domain.money import Money
from bot.providers.lumenfall.provider import SPEC, LumenfallProvider
from bot.providers.shared.spec import ProviderDeps
from bot.sandbox.lumenfall.server import LumenfallSandbox
from tests.providers.contract.variant import BOMB, HUGE, Fault, Lack, Stage, Switches, Variant, switch

ONE_CALL = "one call paints: nothing to follow"
INSIDE = "the picture is inside the response"
ON_THE_WAY: tuple[Fault, ...] = (
    *("look: 500", "look: 429", "look: page", "look: truncated", "look: reset", "look: slow"),
    *("look: key refused", "look: away"),
)
FETCHED: tuple[Fault, ...] = (
    *("picture: reset", "picture: slow", "picture: page type", "picture: huge", "picture: gone"),
    *("picture: expired", "picture: redirected", "picture: foreign"),
)


class LumenfallLink(Variant):
    """The pictures behind links."""

    service: ClassVar[str] = "Lumenfall"
    spec = SPEC
    sandbox: LumenfallSandbox
    mode: ClassVar[str] = "link"
    key: ClassVar[str] = "lmnfl_easel.a-very-secret-part"
    wrong_key: ClassVar[str] = "lmnfl_other.part-that-nobody-has"
    secrets: ClassVar[tuple[str, ...]] = (key, "a-very-secret-part")
    reports_cost: ClassVar[bool] = True
    faults: ClassVar[Mapping[Fault, Switches]] = {
        "no money": switch("insufficient_balance"),
        "model gone": switch("model_disabled"),
        "too many": switch("rate_limited"),
        "error 500": switch("internal_error"),
        "page 502": switch("ingress"),
        "truncated": switch("answer_truncated"),
        "lost": switch("lost"),
        "dropped": switch("refused"),
        "slow": switch("answer_slow", seconds=5),
        "option refused at submit": (),
        "never ends": switch("stuck"),
        "run fails": switch("exhausted"),
        "look: away": switch("cdn_error", status=500),
        "picture: reset": switch("cdn_reset", times=1),
        "picture: slow": switch("cdn_slow", times=1),
        "picture: page type": switch("cdn_type"),
        "picture: huge": switch("cdn_huge", size=HUGE),
        "picture: gone": switch("cdn_error"),
        "picture: expired": (),
        "picture: redirected": switch("cdn_redirect"),
        "picture: foreign": switch("foreign_picture"),
        "other type": switch("wrong_type"),
        "not a picture": switch("not_a_picture"),
        "bomb": switch("bomb", count=BOMB),
        "fewer": switch("fewer_pictures"),
        "history away": switch("history_error"),
        "no cost": switch("no_metadata") + switch("history_error"),
        "model unlisted": switch("model_disabled"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "cancel": "no cancel here",
        "patience": "one call paints: a time-out leaves it open",
        "model ends": "one call paints: one response says all",
        "stays queued": "no queue here",
        "option refused later": "one call paints: one response says all",
        **dict.fromkeys(ON_THE_WAY[:-1], ONE_CALL),
    }
    partials = 0
    inline = False

    async def open(self, stack: AsyncExitStack) -> None:
        self.sandbox = await stack.enter_async_context(
            LumenfallSandbox(
                key=self.key, run_seconds=0.01, partial_seconds=0.0, one_picture=True, stores_payloads=True
            )
        )

    def settings(self, origin: str) -> Mapping[str, Any]:
        return {
            "lumenfall_base_url": f"{origin}/openai/v1",
            "lumenfall_partials": self.partials,
            "lumenfall_inline": self.inline,
        }

    def build(self, deps: ProviderDeps) -> LumenfallProvider:
        return LumenfallProvider(deps)

    def publish_at(self, origin: str) -> None:
        self.sandbox.public_url = origin

    @property
    def accepted(self) -> int:
        return sum(request.failure is None for request in self.sandbox.requests.values())

    @property
    def stage(self) -> Stage:
        requests = list(self.sandbox.requests.values())
        if not requests:
            return "nothing"
        return "over" if requests[-1].finished.is_set() else "running"

    @property
    def sent(self) -> Mapping[str, Any]:
        latest = list(self.sandbox.requests.values())[-1]
        files = [(file["field"], file["name"]) for file in latest.files]
        return {**latest.fields, **{field: [name for of, name in files if of == field] for field, _ in files}}

    @property
    def billed(self) -> Money:
        return Money(self.sandbox.history.spent_micros)


class LumenfallFreeSizes(LumenfallLink):
    """Any size within bounds, nothing transparent."""

    mode: ClassVar[str] = "free sizes"
    model: ClassVar[str] = "gpt-image-2"


class LumenfallRatios(LumenfallLink):
    """Ratios and tiers in place of pixels, one quality."""

    mode: ClassVar[str] = "ratios"
    model: ClassVar[str] = "nano-banana-2"
    quality: ClassVar[str] = "medium"


class LumenfallMegapixels(LumenfallLink):
    """Some sizes only, priced by the megapixel, a seed."""

    mode: ClassVar[str] = "megapixels"
    model: ClassVar[str] = "flux-2-pro"
    quality: ClassVar[str] = "medium"


class LumenfallStreamed(LumenfallLink):
    """Streamed while it is painted, where it is one picture."""

    mode: ClassVar[str] = "streamed"
    faults: ClassVar[Mapping[Fault, Switches]] = {
        **{
            name: switches
            for name, switches in LumenfallLink.faults.items()
            if name not in (*ON_THE_WAY, *FETCHED)
        },
        "truncated": switch("stream_cut"),
        "slow": switch("stream_stall", seconds=5),
        "no cost": switch("history_error"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        **LumenfallLink.lacks,
        **dict.fromkeys(ON_THE_WAY, ONE_CALL),
        **dict.fromkeys(FETCHED, INSIDE),
        "links in tickets": "no links in its tickets",
    }
    partials = 2


class LumenfallInline(LumenfallLink):
    """The pictures inside the response, as base64."""

    mode: ClassVar[str] = "inline"
    faults: ClassVar[Mapping[Fault, Switches]] = {
        **{
            name: switches
            for name, switches in LumenfallLink.faults.items()
            if name not in (*ON_THE_WAY, *FETCHED)
        },
        "picture: foreign": switch("foreign_picture"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        **LumenfallLink.lacks,
        **dict.fromkeys(ON_THE_WAY, ONE_CALL),
        **{name: INSIDE for name in FETCHED if name != "picture: foreign"},
        "links in tickets": "no links in its tickets",
    }
    inline = True
