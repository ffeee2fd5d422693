"""Oxen: with its queue, and with the call whose response is the picture."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any, ClassVar

from bot.domain.money import Money
from bot.providers.oxen.provider import SPEC, OxenProvider
from bot.providers.shared.spec import ProviderDeps
from bot.sandbox.oxen.records import Generation
from bot.sandbox.oxen.server import OxenSandbox
from tests.providers.contract.variant import BOMB, HUGE, Fault, Lack, Stage, Switches, Variant, switch

ONE_CALL = "one call paints: nothing to follow"
STAGES: Mapping[str, Stage] = {"queued": "queued", "processing": "running"}


def looking(variant: str, **values: Any) -> Switches:
    """Two faults in reading a row."""
    return switch(f"status_{variant}", times=2, **values)


class OxenQueue(Variant):
    """Rows, one for each picture; events say when to look."""

    service: ClassVar[str] = "Oxen"
    spec = SPEC
    sandbox: OxenSandbox
    mode: ClassVar[str] = "queue"
    key: ClassVar[str] = "oxen-a-very-secret-key"
    wrong_key: ClassVar[str] = "oxen-key-that-nobody-has"
    secrets: ClassVar[tuple[str, ...]] = (key,)
    reports_cost: ClassVar[bool] = True
    faults: ClassVar[Mapping[Fault, Switches]] = {
        "no money": switch("no_credit"),
        "model gone": switch("model_gone"),
        "too many": switch("submit_rate_limited"),
        "error 500": switch("submit_error"),
        "page 502": switch("submit_html"),
        "truncated": switch("submit_truncated"),
        "lost": switch("submit_lost"),
        "dropped": switch("submit_refused"),
        "slow": switch("submit_slow", seconds=5),
        "stays queued": switch("stuck", body="queued"),
        "never ends": switch("stuck"),
        "run fails": switch("run_error"),
        "model ends": switch("run_error", body="The model gpt-image-1-5 is no longer available"),
        "option refused later": (),
        "look: 500": looking("error"),
        "look: 429": looking("error", status=429),
        "look: page": looking("html"),
        "look: truncated": looking("truncated"),
        "look: reset": looking("reset"),
        "look: slow": looking("slow", seconds=5),
        "look: key refused": switch("unauthorized"),
        "look: away": switch("status_html"),
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
        "fewer": switch("fail_some"),
        "history away": switch("list_error"),
        "no cost": switch("cost_missing"),
        "model unlisted": switch("model_gone"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "option refused at submit": "its queue reads options only when it paints",
        "links in tickets": "no links in its tickets",
        "price before": "its prices are read every hour, not before a submit",
    }
    queue = True

    async def open(self, stack: AsyncExitStack) -> None:
        self.sandbox = await stack.enter_async_context(
            OxenSandbox(key=self.key, queue_seconds=0.01, run_seconds=0.01, one_picture=True, result_seconds=3_600)
        )

    def settings(self, origin: str) -> Mapping[str, Any]:
        return {"oxen_base_url": f"{origin}/api", "oxen_queue": self.queue}

    def build(self, deps: ProviderDeps) -> OxenProvider:
        return OxenProvider(deps)

    def publish_at(self, origin: str) -> None:
        self.sandbox.public_url = origin

    @property
    def _rows(self) -> list[Generation]:
        return list(self.sandbox.generations.values())

    @property
    def accepted(self) -> int:
        return len({row.batch for row in self._rows if row.status not in ("failed", "cancelled")})

    @property
    def stage(self) -> Stage:
        return STAGES.get(self._rows[-1].status, "over") if self._rows else "nothing"

    @property
    def sent(self) -> Mapping[str, Any]:
        return self._rows[-1].params

    @property
    def billed(self) -> Money:
        total = sum((row.cost for row in self._rows if row.cost is not None), Decimal(0))
        return Money(int(total * 1_000_000))


class OxenTiers(OxenQueue):
    """Ratios and tiers in place of pixels, a mask that is transparent where the picture may change."""

    mode: ClassVar[str] = "tiers"
    model: ClassVar[str] = "gpt-image-2.5-flare"


class OxenWhiteMask(OxenQueue):
    """A mask that is white where the picture may change."""

    mode: ClassVar[str] = "white mask"
    model: ClassVar[str] = "gpt-image-2"


class OxenSeeds(OxenQueue):
    """Other words for the formats, a shape that follows the picture, a seed."""

    mode: ClassVar[str] = "seeds"
    model: ClassVar[str] = "flux-2-pro"
    quality: ClassVar[str] = "medium"


class OxenShapeless(OxenQueue):
    """The service alone chooses the shape."""

    mode: ClassVar[str] = "shapeless"
    model: ClassVar[str] = "seedream-5-lite"
    quality: ClassVar[str] = "medium"
    size: ClassVar[str] = "auto"


ASKED_LATER: tuple[Fault, ...] = (
    *("look: 500", "look: 429", "look: page", "look: truncated", "look: reset", "look: slow"),
    "look: key refused",
)


class OxenDirect(OxenQueue):
    """The call whose response is one picture."""

    mode: ClassVar[str] = "direct"
    reports_cost: ClassVar[bool] = False
    faults: ClassVar[Mapping[Fault, Switches]] = {
        **{
            name: switches
            for name, switches in OxenQueue.faults.items()
            if name not in (*ASKED_LATER, "stays queued", "option refused later", "fewer", "no cost")
        },
        "option refused at submit": (),
        "never ends": switch("slow_run", seconds=30),
        "look: away": switch("cdn_error", status=500),
        "history away": switch("cost_error"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "cancel": "no cancel here",
        "patience": "one call paints: a time-out leaves it open",
        "stays queued": "no queue here",
        "option refused later": "one call paints: one response says all",
        "never arrived": "what never arrived looks like what is painted still",
        "no cost": "it never states a cost",
        "fewer": "one picture for each submit",
        "price before": "its prices are read every hour, not before a submit",
        **dict.fromkeys(ASKED_LATER, ONE_CALL),
    }
    queue = False
