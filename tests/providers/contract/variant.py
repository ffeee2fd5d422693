"""What a way of having pictures painted must tell about itself, so that the contract can be held against it.

To add a service, write one more `Variant`: open its stand-in, build its provider, and say which of the stand-in's
switches break what. What the service lacks stands in `lacks`, each with the few words that the table shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import aiohttp

from bot.catalog.catalog import Catalog
from bot.catalog.offers import Offer
from bot.domain.clock import Clock
from bot.domain.money import Money
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.ports import Provider
from bot.providers.shared.http import Timeouts
from bot.providers.shared.polling import PollPolicy
from bot.sandbox.kit.faults import Faults

Fault = Literal[
    # the submit and its answer
    "no money",
    "model gone",
    "too many",
    "error 500",
    "page 502",
    "truncated",
    "lost",
    "dropped",
    "slow",
    "option told at submit",
    # the work
    "stays queued",
    "never ends",
    "run fails",
    "model ends",
    "option told later",
    # looking at it
    "look: 500",
    "look: 429",
    "look: page",
    "look: truncated",
    "look: reset",
    "look: slow",
    "look: key refused",
    "look: away",
    # the pictures
    "picture: reset",
    "picture: slow",
    "picture: page type",
    "picture: huge",
    "picture: gone",
    "picture: expired",
    "picture: redirected",
    "picture: foreign",
    "other type",
    "not a picture",
    "bomb",
    "fewer",
    # what is asked besides
    "history away",
    "cost untold",
    "model unlisted",
]
Lack = Literal["cancel", "patience", "price before", "found again", "never arrived", "links in tickets"] | Fault
Stage = Literal["nothing", "queued", "running", "over"]
Switches = tuple[tuple[str, Mapping[str, Any]], ...]

PACE = PollPolicy(first=0.005, longest=0.01, jitter=0, trouble=0.01, trouble_longest=0.02, failures=5)
HUGE = 33_600_000
"""Bytes, just more than a picture may have."""
BOMB = 14_000
"""Pixels to a side, more than anybody opens."""


CATALOG = Catalog.load()
"""Read once: it never changes."""


def switch(name: str, **values: Any) -> Switches:
    """One switch of a stand-in, to be joined with others by `+`."""
    return ((name, values),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a provider is built from; `origin` is where its service seems to be."""

    client: aiohttp.ClientSession
    pictures: Pictures
    origin: str
    key: str
    limits: Timeouts | None
    clock: Clock
    stack: AsyncExitStack
    """Closed before the stand-in and the client are."""

    def hosts(self, *origins: str) -> AllowedHosts:
        """These places and nobody else on this machine."""
        return AllowedHosts.parse(",".join(urlsplit(origin).netloc for origin in origins))


class Variant(ABC):
    """One provider in one setting, and its stand-in. Opened once, for one case."""

    service: ClassVar[str]
    manner: ClassVar[str]
    model: ClassVar[str] = "gpt-image-1.5"
    key: ClassVar[str]
    wrong_key: ClassVar[str]
    """Well-formed, and not accepted."""
    secrets: ClassVar[tuple[str, ...]]
    """What may stand in no ticket, no error and no log."""
    tells_cost: ClassVar[bool]
    """Whether the service says what a finished piece of work cost."""
    faults: ClassVar[Mapping[Fault, Switches]]
    lacks: ClassVar[Mapping[Lack, str]]

    @property
    @abstractmethod
    def offers(self) -> Mapping[str, Offer]:
        """What the service offers, by our names of the models."""

    @property
    @abstractmethod
    def board(self) -> Faults:
        """The stand-in's switches."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The stand-in's own origin."""

    @abstractmethod
    async def open(self, stack: AsyncExitStack) -> None:
        """Start the stand-in, quick and with the right key; the stack closes it."""

    @abstractmethod
    def provider(self, setting: Setting) -> Provider:
        """As the composition root builds it."""

    @abstractmethod
    def publish_at(self, origin: str) -> None:
        """From now on the stand-in's links begin so."""

    @abstractmethod
    def age(self, seconds: float) -> None:
        """Put the stand-in's clock forward."""

    @property
    @abstractmethod
    def submits(self) -> int:
        """How often the stand-in was asked for pictures, accepted or not."""

    @property
    @abstractmethod
    def taken(self) -> int:
        """How many submits it works on or has painted."""

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """How far the latest submit is."""

    @property
    @abstractmethod
    def sent(self) -> Mapping[str, Any]:
        """The fields of the latest submit, in the service's words."""

    @property
    @abstractmethod
    def billed(self) -> Money:
        """What all of it cost so far, whoever is told."""

    @classmethod
    def title(cls) -> str:
        """Its name in test ids."""
        return f"{cls.service} {cls.manner}"


@asynccontextmanager
async def opened(way: Variant) -> AsyncIterator[Variant]:
    """The way with its stand-in running."""
    async with AsyncExitStack() as stack:
        await way.open(stack)
        yield way
