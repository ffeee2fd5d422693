"""What the contract must know of a provider with some settings, to be tested with it.

To add a provider, write one more `Variant`: open its stand-in, give its settings, and say which of the stand-in's
switches cause which fault. What the provider lacks is in `lacks`, each with the few words that the table shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import urlsplit

from bot.catalog.offers import Offer
from bot.domain.money import Money
from bot.pictures.pictures import Pictures
from bot.ports import Provider
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import ProviderDeps, ProviderSpec
from bot.sandbox.kit.faults import Faults
from bot.settings import given
from tests.support.providers.deps import CATALOG, provider_deps

Fault = Literal[
    # the submit and its response
    "no money",
    "model gone",
    "too many",
    "error 500",
    "page 502",
    "truncated",
    "lost",
    "dropped",
    "slow",
    "option refused at submit",
    # the job
    "stays queued",
    "never ends",
    "run fails",
    "model ends",
    "option refused later",
    # following it
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
    # other requests
    "history away",
    "no cost",
    "model unlisted",
]
Lack = Literal["cancel", "patience", "price before", "found again", "never arrived", "links in tickets"] | Fault
Stage = Literal["nothing", "queued", "running", "over"]
Switches = tuple[tuple[str, Mapping[str, Any]], ...]

POLL_POLICY = PollPolicy(first=0.005, longest=0.01, jitter=0, first_retry=0.01, longest_retry=0.02, failures=5)
HUGE = 33_600_000
"""Bytes, just more than a picture may have."""
BOMB = 14_000
"""Pixels to a side, more than Easel decodes."""


def switch(name: str, **values: Any) -> Switches:
    """One switch of a stand-in, to be joined with others by `+`."""
    return ((name, values),)


class ClosableProvider(Provider, Protocol):
    """A provider that owns its connections."""

    async def aclose(self) -> None:
        """Close them."""
        ...


class Sandbox(Protocol):
    """What all stand-ins for providers have."""

    @property
    def submits(self) -> int:
        """How often it was asked for pictures, accepted or not."""
        ...

    @property
    def faults(self) -> Faults:
        """Its switches."""
        ...

    @property
    def url(self) -> str:
        """Its origin."""
        ...

    def age(self, seconds: float) -> None:
        """Put its clock forward."""
        ...


class Variant(ABC):
    """One provider with some settings, and its stand-in. Opened once, for one case."""

    service: ClassVar[str]
    mode: ClassVar[str]
    spec: ClassVar[ProviderSpec]
    model: ClassVar[str] = "gpt-image-1.5"
    quality: ClassVar[str] = "low"
    """Of requests that are about something else."""
    size: ClassVar[str] = "square"
    """The same."""
    key: ClassVar[str]
    wrong_key: ClassVar[str]
    """Well-formed, and not accepted."""
    secrets: ClassVar[tuple[str, ...]]
    """What no ticket, no error and no log may contain."""
    reports_cost: ClassVar[bool]
    """Whether the service says what a finished job cost."""
    faults: ClassVar[Mapping[Fault, Switches]]
    lacks: ClassVar[Mapping[Lack, str]]
    sandbox: Sandbox

    @abstractmethod
    async def open(self, stack: AsyncExitStack) -> None:
        """Start the stand-in, quick and with the right key; the stack closes it."""

    @abstractmethod
    def settings(self, origin: str) -> Mapping[str, Any]:
        """The provider's settings, but for its key and its media hosts, with its service at `origin`."""

    @abstractmethod
    def build(self, deps: ProviderDeps) -> ClosableProvider:
        """The provider."""

    @abstractmethod
    def publish_at(self, origin: str) -> None:
        """From now on the stand-in's links begin so."""

    @property
    @abstractmethod
    def accepted(self) -> int:
        """How many submits the stand-in works on or has painted."""

    @property
    @abstractmethod
    def stage(self) -> Stage:
        """How far the latest submit is."""

    @property
    @abstractmethod
    def sent(self) -> Mapping[str, Any]:
        """The fields of the latest submit, as on the wire."""

    @property
    @abstractmethod
    def billed(self) -> Money:
        """What all submits have cost so far, reported or not."""

    def deps(
        self, pictures: Pictures, *, origin: str | None = None, key: str | None = None, **more: Any
    ) -> ProviderDeps:
        """What the provider is built from; it may read pictures from `origin` and from the stand-in."""
        origin = origin or self.sandbox.url
        settings = {
            f"{self.spec.name}_media_hosts": ",".join(urlsplit(url).netloc for url in (origin, self.sandbox.url)),
            self.spec.key_setting: key or self.key,
            **self.settings(origin),
        }
        return provider_deps(pictures, **{"poll_policy": POLL_POLICY, **settings, **more})

    @property
    def offers(self) -> Mapping[str, Offer]:
        """The provider's offers, by our names of the models."""
        return _offers(type(self))

    @classmethod
    def title(cls) -> str:
        """Its name in test ids."""
        return f"{cls.service} {cls.mode}"


@cache
def _offers(variant: type[Variant]) -> Mapping[str, Offer]:
    settings = given(discord_token="token", **variant().settings("http://127.0.0.1"))
    return variant.spec.adapt_offers(settings, CATALOG.at(variant.spec.name))


@asynccontextmanager
async def opened(variant: Variant) -> AsyncIterator[Variant]:
    """The variant with its stand-in running."""
    async with AsyncExitStack() as stack:
        await variant.open(stack)
        yield variant
