"""The three plugs: which service paints, how Discord is reached, where things are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from bot.catalog.offers import Submit
from bot.domain.jobs import Finished, Job, Progress, Ticket
from bot.domain.pictures import FetchedSource
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest, Source

Row = Mapping[str, Any]
Statement = tuple[str, Sequence[Any]]
Result = TypeVar("Result")
Unit = Generator[Statement, list[Row], Result]
"""One unit of work: yields `(sql, parameters)`, is sent the rows, returns its result. Never waits."""
Tell = Callable[[Progress], None]
Kept = Callable[[], Awaitable[tuple[bytes, ...]]]


class Provider(Protocol):
    """A service that paints. Raises only `ProviderError`s."""

    @property
    def name(self) -> str:
        """As in the catalogue."""
        ...

    async def submit(self, order: Submit, tell: Tell) -> Ticket:
        """Hand the work over, once, and return all that is needed to finish it after a restart.

        A service that answers only with the pictures is waited for here; `tell` is given its news meanwhile.

        Raises:
            SubmitUnknown: the answer was lost after the request had left.
            ProviderBusy: it was certainly not accepted.
            PriceExceeded: it would cost more than the order allows; nothing was submitted.
        """
        ...

    def follow(
        self, ticket: Ticket, request: ImageRequest, kept: Kept
    ) -> AsyncGenerator[Progress | Finished, None]:
        """News until the pictures are there; the last item is `Finished`. May be started again at any time.

        A `Progress` with a fraction of 1 comes before the pictures are fetched, so that whoever listens can
        go on only once there is room for them. `kept` reads what the ticket kept, from the job's spool.
        """
        ...

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask the service to drop the work."""
        ...

    async def reconcile(self, order: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """What became of a submit whose answer was lost: its ticket, or None where it never arrived.

        `others` are the tickets that already belong to somebody.

        Raises:
            SubmitUnknown: the service cannot tell, now or ever.
            ResultLost: it was painted, and perhaps paid, and the pictures cannot be had any more.
        """
        ...

    async def examine(self) -> ProviderHealth:
        """Whether the key works, which models are served, until when and for how much. Costs nothing."""
        ...


class Delivery(Protocol):
    """Discord, both ways. Raises `BadSource` from `read`, `DeliveryError`s from the rest."""

    async def read(self, source: Source, limit: int) -> FetchedSource:
        """The bytes behind a source, at most `limit` of them, from an allowed host.

        Raises:
            BadSource: it is gone, too big, or lives where Easel does not go.
        """
        ...

    def is_fresh(self, url: str) -> bool:
        """Whether a service may still fetch this link for a good while."""
        ...

    async def show_progress(self, job: Job, progress: Progress) -> None:
        """Bring the card up to date, as far as Discord lets us; never raises."""
        ...

    async def find_result(self, job: Job) -> int | None:
        """The message that already holds the job's pictures, if one was posted since `delivering_at`."""
        ...

    async def prepare(self, job: Job, finished: Finished) -> Finished:
        """Make the pictures fit the channel; those that cannot become links.

        Raises:
            InvalidResponse: nothing is left that could be shown.
        """
        ...

    async def post_result(self, job: Job, finished: Finished) -> int:
        """Post the pictures once and return the message's id.

        Raises:
            DiscordBusy: the answer is not known; look with `find_result` before posting again.
            ChannelUnavailable: the channel is gone or closed to us.
        """
        ...

    async def remove_card(self, job: Job) -> None:
        """Take the progress card away; never raises."""
        ...

    async def send_failure(self, job: Job, sentence: str) -> None:
        """Say privately where Discord still has a private way, else by a reply, why there is no picture."""
        ...


class Database(Protocol):
    """Where jobs and money are written."""

    @property
    def skip_locked(self) -> str:
        """What a claim appends to its inner select: nothing, or the engine's way to skip locked rows."""
        ...

    async def write(self, unit: Unit[Result]) -> Result:
        """Run a unit in a transaction of its own and return only once it is committed.

        Raises:
            StorageError: the database is away; whatever the unit raised otherwise.
        """
        ...

    async def read(self, unit: Unit[Result]) -> Result:
        """Run a unit that only reads, over one snapshot."""
        ...

    def wake(self) -> None:
        """Tell whoever waits for work that there is some."""
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Return when there may be work, at the latest after `seconds`."""
        ...

    async def aclose(self) -> None:
        """Drain what is under way and close every connection."""
        ...
