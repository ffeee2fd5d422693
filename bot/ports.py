"""The three plugs: a provider that generates pictures, Discord's delivery, the database."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from bot.catalog.offers import Submit
from bot.domain.choices import AlternativeModel
from bot.domain.content import Content
from bot.domain.errors import EaselError
from bot.domain.jobs import Finished, Job, Progress, Ticket
from bot.domain.pictures import FetchedSource
from bot.domain.providers import CancelResult, ProviderHealth
from bot.domain.requests import ImageRequest, Source

Row = Mapping[str, Any]
Statement = tuple[str, Sequence[Any]]
Result = TypeVar("Result")
Unit = Generator[Statement, list[Row], Result]
"""A unit of work: a generator that yields `(sql, parameters)`, is sent the rows, and returns its result."""
Report = Callable[[Progress], None]
StoredResults = Callable[[], Awaitable[tuple[Content, ...]]]


class Provider(Protocol):
    """An image service. Raises only `ProviderError`s."""

    @property
    def name(self) -> str:
        """As in the catalogue."""
        ...

    async def submit(self, submit: Submit, report: Report) -> Ticket:
        """Send the work once; the ticket is all that is needed to finish it after a restart.

        A synchronous provider responds only with the pictures; meanwhile `report` is given its progress.

        Raises:
            SubmitUnknown: the response was lost after the request had left, or cannot be read.
            SubmitFailed: the response is a 5xx.
            ProviderBusy: it was certainly not accepted.
            PriceExceeded: it would cost more than the submit allows; nothing was sent.
        """
        ...

    def follow(
        self, ticket: Ticket, request: ImageRequest, stored_results: StoredResults
    ) -> AsyncGenerator[Progress | Finished, None]:
        """Progress until the pictures are there; the last item is `Finished`. May be started again at any time.

        A `Progress` with a fraction of 1 comes before the pictures are fetched, so that the caller can wait for
        memory before it asks for more. `stored_results` reads the ticket's results from the job's spool.
        """
        ...

    async def cancel(self, ticket: Ticket) -> CancelResult:
        """Ask the provider to drop the work."""
        ...

    async def reconcile(self, submit: Submit, others: Sequence[Ticket]) -> Ticket | None:
        """The ticket of a submit whose response was lost, or None where the submit never arrived.

        `others` are the tickets of other jobs at this provider.

        Raises:
            SubmitUnknown: the provider cannot tell, now or ever.
            ResultLost: it was generated, perhaps billed, and the pictures are out of reach.
        """
        ...

    async def check_health(self) -> ProviderHealth:
        """Whether the key works, which models are served, until when and for how much. Costs nothing."""
        ...


class Delivery(Protocol):
    """Discord, both ways: sources are read from it, results posted to it."""

    async def read(self, source: Source, limit: int) -> FetchedSource:
        """The bytes behind a source, at most `limit` of them, from an allowed host.

        Raises:
            BadSource: it is gone, too big, or at a host that is not allowed.
        """
        ...

    def is_fresh(self, url: str) -> bool:
        """Whether a provider may still fetch this link for some minutes."""
        ...

    async def show_progress(self, job: Job, progress: Progress) -> None:
        """Bring the card up to date; never raises."""
        ...

    async def find_result(self, job: Job) -> int | None:
        """The id of the message that holds the job's pictures, if one was posted since `delivering_at`."""
        ...

    async def prepare(self, job: Job, finished: Finished) -> Finished:
        """Make the pictures fit the channel; those that cannot become links.

        Raises:
            InvalidResponse: no picture is left that could be shown.
        """
        ...

    async def post_result(self, job: Job, finished: Finished) -> int:
        """Post the pictures once and return the message's id.

        Raises:
            DiscordBusy: the response is not known; look with `find_result` before posting again.
            ChannelUnavailable: the channel is gone or closed to us.
        """
        ...

    async def remove_card(self, job: Job) -> bool:
        """Take the progress card away; False where it may still be there. Never raises."""
        ...

    async def send_failure(self, job: Job, error: EaselError, alternative: AlternativeModel | None = None) -> None:
        """Tell the member why there is no picture: privately while the token lasts, else by a reply.

        With an `alternative`, offer to ask for it again with that model.
        """
        ...


class Database(Protocol):
    """Where jobs and money are stored."""

    @property
    def skip_locked(self) -> str:
        """What a claim appends to its inner select: nothing, or the engine's clause that skips locked rows."""
        ...

    async def write(self, unit: Unit[Result]) -> Result:
        """Run a unit in a transaction of its own and return only once it is committed.

        Raises:
            StorageError: the database is away.
            Exception: whatever the unit raised.
        """
        ...

    async def read(self, unit: Unit[Result]) -> Result:
        """Run a unit that only reads, over one snapshot."""
        ...

    def wake(self) -> None:
        """Wake what waits in `wait_for_work`."""
        ...

    async def wait_for_work(self, seconds: float) -> None:
        """Return when there may be work, at the latest after `seconds`."""
        ...

    async def hold_worker(self, name: str) -> None:
        """Hold a lock in a worker's name until the database is closed, or the process has ended in any way."""
        ...

    async def ended_workers(self, names: Iterable[str]) -> set[str]:
        """Those of the workers whose process has ended: nobody holds the lock in their names."""
        ...

    async def aclose(self) -> None:
        """Drain what is under way and close every connection."""
        ...
