"""Lumenfall: pictures behind links, watched while they are painted, and inside the answer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from pydantic import SecretStr

from bot.catalog.offers import Offer
from bot.domain.money import Money
from bot.providers.lumenfall.provider import LumenfallProvider
from bot.sandbox.kit.faults import Faults
from bot.sandbox.lumenfall.server import LumenfallSandbox
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
INSIDE = "the picture is inside the answer"
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
    manner: ClassVar[str] = "link"
    key: ClassVar[str] = "lmnfl_easel.a-very-secret-part"
    wrong_key: ClassVar[str] = "lmnfl_other.part-that-nobody-has"
    secrets: ClassVar[tuple[str, ...]] = (key, "a-very-secret-part")
    tells_cost: ClassVar[bool] = True
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
        "option told at submit": (),
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
        "cost untold": switch("no_metadata") + switch("history_error"),
        "model unlisted": switch("model_disabled"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        "cancel": "no cancel here",
        "patience": "one call paints: a time-out leaves it open",
        "model ends": "one call paints: all is told at once",
        "stays queued": "no queue here",
        "option told later": "one call paints: all is told at once",
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

    def provider(self, setting: Setting) -> LumenfallProvider:
        return LumenfallProvider(
            setting.client,
            key=SecretStr(setting.key),
            base_url=f"{setting.origin}/openai/v1",
            media_hosts=setting.hosts(setting.origin, self.url),
            offers=self.offers,
            pictures=setting.pictures,
            clock=setting.clock,
            pace=PACE,
            limits=setting.limits,
            partials=self.partials,
            inline=self.inline,
        )

    def publish_at(self, origin: str) -> None:
        self.sandbox.public_url = origin

    def age(self, seconds: float) -> None:
        self.sandbox.age(seconds)

    @property
    def offers(self) -> Mapping[str, Offer]:
        return CATALOG.at("lumenfall")

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
    def taken(self) -> int:
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


class LumenfallStreamed(LumenfallLink):
    """Watched while it is painted, where it is one picture."""

    manner: ClassVar[str] = "streamed"
    faults: ClassVar[Mapping[Fault, Switches]] = {
        **{
            name: switches
            for name, switches in LumenfallLink.faults.items()
            if name not in (*ON_THE_WAY, *FETCHED)
        },
        "truncated": switch("stream_cut"),
        "slow": switch("stream_stall", seconds=5),
        "cost untold": switch("history_error"),
    }
    lacks: ClassVar[Mapping[Lack, str]] = {
        **LumenfallLink.lacks,
        **dict.fromkeys(ON_THE_WAY, ONE_CALL),
        **dict.fromkeys(FETCHED, INSIDE),
        "links in tickets": "no links in its tickets",
    }
    partials = 2


class LumenfallInline(LumenfallLink):
    """The pictures inside the answer, as base64."""

    manner: ClassVar[str] = "inline"
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
