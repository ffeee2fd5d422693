"""Oxen: by its queue, and by the call that answers with the picture."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import SecretStr

from bot.catalog.offers import Offer
from bot.domain.money import Money
from bot.providers.oxen.provider import OxenProvider
from bot.providers.oxen.request import one_at_a_time
from bot.sandbox.kit.faults import Faults
from bot.sandbox.oxen.records import Generation
from bot.sandbox.oxen.server import OxenSandbox
from tests.providers.contract.variant import (
    BOMB,
    CATALOG,
    HUGE,
    PACE,
    Fault,
    Lack,
    Setting,
    Stage,
    Switches,
    Variant,
    switch,
)

ONE_CALL = "one call paints: nothing to look at"
STAGES: Mapping[str, Stage] = {"queued": "queued", "processing": "running"}


def looking(way: str, **values: Any) -> Switches:
    """Twice at a row."""
    return switch(f"status_{way}", times=2, **values)


class OxenQueue(Variant):
    """Rows, one for each picture; events say when to look."""

    service: ClassVar[str] = "Oxen"
    manner: ClassVar[str] = "queue"
    key: ClassVar[str] = "oxen-a-very-secret-key"
    wrong_key: ClassVar[str] = "oxen-key-that-nobody-has"
    secrets: ClassVar[tuple[str, ...]] = (key,)
    tells_cost: ClassVar[bool] = True
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
        "option told later": (),
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
        "cost untold": switch("cost_missing"),
        "model unlisted": switch("model_gone"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "option told at submit": "its queue reads options only when it paints",
        "links in tickets": "no links in its tickets",
    }
    queue = True

    async def open(self, stack: AsyncExitStack) -> None:
        self.sandbox = await stack.enter_async_context(
            OxenSandbox(key=self.key, queue_seconds=0.01, run_seconds=0.01, one_picture=True, result_seconds=3_600)
        )

    def provider(self, setting: Setting) -> OxenProvider:
        made = OxenProvider(
            setting.client,
            key=SecretStr(setting.key),
            base_url=f"{setting.origin}/api",
            media_hosts=setting.hosts(setting.origin, self.url),
            offers=self.offers,
            pictures=setting.pictures,
            clock=setting.clock,
            pace=PACE,
            limits=setting.limits,
            queue=self.queue,
        )
        setting.stack.push_async_callback(made.aclose)
        return made

    def publish_at(self, origin: str) -> None:
        self.sandbox.public_url = origin

    def age(self, seconds: float) -> None:
        self.sandbox.age(seconds)

    @property
    def offers(self) -> Mapping[str, Offer]:
        return CATALOG.at("oxen")

    @property
    def board(self) -> Faults:
        return self.sandbox.faults

    @property
    def url(self) -> str:
        return self.sandbox.url

    @property
    def submits(self) -> int:
        return self.sandbox.submits

    @property
    def _rows(self) -> list[Generation]:
        return list(self.sandbox.generations.values())

    @property
    def taken(self) -> int:
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


ASKED_LATER: tuple[Fault, ...] = (
    *("look: 500", "look: 429", "look: page", "look: truncated", "look: reset", "look: slow"),
    "look: key refused",
)


class OxenDirect(OxenQueue):
    """The call that answers with one picture."""

    manner: ClassVar[str] = "direct"
    tells_cost: ClassVar[bool] = False
    faults: ClassVar[Mapping[Fault, Switches]] = {
        **{
            name: switches
            for name, switches in OxenQueue.faults.items()
            if name not in (*ASKED_LATER, "stays queued", "option told later", "fewer", "cost untold")
        },
        "option told at submit": (),
        "never ends": switch("slow_run", seconds=30),
        "look: away": switch("cdn_error", status=500),
        "history away": switch("cost_error"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "cancel": "no cancel here",
        "patience": "one call paints: a time-out leaves it open",
        "stays queued": "no queue here",
        "option told later": "one call paints: all is told at once",
        "never arrived": "what never arrived looks like what is painted still",
        "cost untold": "it never tells a cost",
        "fewer": "one picture for each submit",
        **dict.fromkeys(ASKED_LATER, ONE_CALL),
    }
    queue = False

    @property
    def offers(self) -> Mapping[str, Offer]:
        return one_at_a_time(CATALOG.at("oxen"))
