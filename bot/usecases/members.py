"""What members can do: submit a request, cancel it, look at their allowance and their jobs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.catalog.catalog import Catalog
from bot.domain import checks
from bot.domain.choices import ModelChoice
from bot.domain.clock import Clock, Instant
from bot.domain.content import Content
from bot.domain.errors import BadSource, NotAllowed, NotFound, Refused, StorageError
from bot.domain.forms import Form
from bot.domain.jobs import AcceptedJob, Job, JobState
from bot.domain.limits import Allowance, Limit
from bot.domain.money import Amount
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.pictures.budget import Budget
from bot.ports import Database, Delivery, Unit
from bot.routing.router import Router
from bot.storage import forms, jobs, reservations, spool
from bot.storage import provider_orders as stored
from bot.usecases.choosing import model_choices
from bot.usecases.inheritance import inherit

log = logging.getLogger(__name__)

SUBMITTED_BEFORE = "This form was submitted before. Open it again for another edit."
RECENT = 10
UPLOADS_READ_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the operator has set for every server."""

    model: str
    limit: Limit


class MemberService:
    """The members' use cases. Raises only `EaselError`s."""

    def __init__(
        self,
        *,
        database: Database,
        delivery: Delivery,
        catalog: Catalog,
        router: Router,
        clock: Clock,
        defaults: Defaults,
    ) -> None:
        self._database = database
        self._delivery = delivery
        self._catalog = catalog
        self._router = router
        self._clock = clock
        self._defaults = defaults
        self._known_orders: dict[int, list[ProviderOrder]] = {}
        self._reading = Budget(UPLOADS_READ_AT_ONCE, 1)

    async def model_choices(self, guild_id: int, request: ImageRequest, typed: str = "") -> list[ModelChoice]:
        """The models that can do a half-typed request in a server, whose label or name contains `typed`."""
        # A read takes a tenth of a millisecond, and a model that was just switched off is not offered.
        return model_choices(self._router, await self._provider_orders(guild_id), request, typed)

    def _default_model(self, request: ImageRequest, orders: Sequence[ProviderOrder]) -> str:
        """The model for a request without one: the operator's, or the first of this server's that can do it."""
        name = self._defaults.model
        usable = [model.name for model in self._router.offered_models(orders)]
        if not usable:
            return name or self._catalog.models[0].name
        if name and self._router.resolve_model(name, orders, request) in usable:
            return name
        able = (model.name for model, _ in self._router.able_models(request, orders))
        return next(able, usable[0])

    async def _provider_orders(self, guild_id: int) -> list[ProviderOrder]:
        return await self._database.read(stored.orders(guild_id))

    async def submit(
        self,
        job_id: int,
        requester: Requester,
        request: ImageRequest,
        reply: ReplyAddress,
        parent_id: int | None = None,
    ) -> AcceptedJob:
        """Check the request, reserve what it may cost and write the job down, all or nothing.

        It is checked with the server's orders of providers as they were last read, which spares a read. Nothing is
        accepted or refused by them where others hold by now.

        An edit takes over the options of the job `parent_id`, which made its picture. One of a picture that was
        hidden is hidden.

        Raises:
            Refused: by one of its classes; nothing was written.
        """
        checks.check_request(request)
        orders = self._known_orders.get(requester.guild_id)
        if orders is not None:
            with suppress(Refused, stored.OrdersChanged):
                return await self._submit(job_id, requester, request, reply, parent_id, orders)
        while True:
            orders = self._known_orders[requester.guild_id] = await self._provider_orders(requester.guild_id)
            try:
                return await self._submit(job_id, requester, request, reply, parent_id, orders)
            except stored.OrdersChanged:
                continue
            except Refused:
                if (accepted := await self._accepted_before(job_id, requester)) is None:
                    raise
                return accepted

    async def _accepted_before(self, job_id: int, requester: Requester) -> AcceptedJob | None:
        """The job, where the request was accepted before, perhaps by another process, and no longer would be."""
        try:
            job = await self.job(job_id)
        except NotFound:
            return None
        return AcceptedJob(job=job, created=False, ahead=0, allowance=await self.allowance(requester))

    async def _submit(
        self,
        job_id: int,
        requester: Requester,
        request: ImageRequest,
        reply: ReplyAddress,
        parent_id: int | None,
        orders: Sequence[ProviderOrder],
    ) -> AcceptedJob:
        if any(source.spoiler for source in request.sources):
            request = replace(request, spoiler=True)
        parent = await self._parent(parent_id, requester.guild_id)
        if parent is not None:
            request = self._inherit(request, parent.request, orders)
        request = self._with_model(request, orders)
        candidates = self._router.candidates(request, orders)
        price = self._router.price(candidates)
        new = jobs.NewJob(
            id=job_id,
            requester=requester,
            request=request,
            reply=reply,
            cost=Amount(images=request.count, money=price),
            parent_id=parent.id if parent else None,
            waits_for_uploads=any(not source.refetchable for source in request.pictures),
        )
        accepted = await self._database.write(_accept(new, orders, self._defaults.limit, self._clock.now()))
        self._database.wake()
        changes = (*request.fallbacks, *candidates[0].changes)
        if request.instead_of is not None:
            changes = (self._router.succession_notice(request.instead_of, request.model), *changes)
        return replace(accepted, price=price, changes=changes, quality=candidates[0].quality)

    def _with_model(self, request: ImageRequest, orders: Sequence[ProviderOrder]) -> ImageRequest:
        """The request with its model, the default one or the successor of one that is gone."""
        wanted = self._catalog.canonical(request.model or self._default_model(request, orders))
        model = self._router.resolve_model(wanted, orders, request)
        return replace(request, model=model, instead_of=wanted if model != wanted else None)

    async def _parent(self, job_id: int | None, guild_id: int) -> Job | None:
        """The job that made the picture of an edit, if this server has it."""
        if job_id is None:
            return None
        try:
            job = await self.job(job_id)
        except NotFound:
            return None
        return job if job.requester.guild_id == guild_id else None

    def _inherit(
        self, request: ImageRequest, made_by: ImageRequest, orders: Sequence[ProviderOrder]
    ) -> ImageRequest:
        def can_do(each: ImageRequest) -> bool:
            return self._router.can_do(self._with_model(each, orders), orders)

        def label(name: str) -> str:
            if name and self._catalog.get(name) is None:
                return name
            return self._catalog.model(self._with_model(replace(request, model=name), orders).model).label

        return inherit(request, made_by, can_do, label)

    async def after_accept(self, job: Job, card_id: int | None) -> None:
        """After the first response: store the card's id, and uploads that cannot be fetched again.

        The job is accepted and runs without either, so a failure here is only logged.
        """
        try:
            if card_id is not None:
                await self._remember_card(job.id, card_id)
            await self._store_uploads(job)
        except StorageError as error:
            log.error("job %d: %s", job.id, error.sentence)

    async def _store_uploads(self, job: Job) -> None:
        """Read pictures that belong to no message while their links are good, and let the job begin.

        A picture that cannot be read is left to the worker, which fails alike and tells the member.
        """
        if all(source.refetchable for source in job.request.pictures):
            return
        contents: dict[int, Content] = {}
        async with self._reading.room(1, job.requester.user_id):
            for number, source in enumerate(job.request.pictures):
                if source.refetchable:
                    continue
                try:
                    fetched = await self._delivery.read(source, checks.MAXIMUM_SOURCE_BYTES)
                except BadSource:
                    break
                contents[number] = fetched.content
            await self._database.write(spool.store_uploads(job.id, contents, self._clock.now()))
        self._database.wake()

    async def _remember_card(self, job_id: int, card_id: int) -> None:
        """Store the id of the progress card; where the job has ended before, the card is removed."""
        job = await self._database.write(jobs.remember_card(job_id, card_id))
        if job.state.ended:
            await self._remove_card(job)

    async def _remove_card(self, job: Job) -> None:
        if await self._delivery.remove_card(job):
            await self._database.write(jobs.tidied([job.id]))

    async def allowance(self, requester: Requester) -> Allowance:
        """What a member may still spend."""
        return await self._database.read(
            reservations.allowance(requester, self._defaults.limit, self._clock.now())
        )

    async def history(self, requester: Requester) -> list[Job]:
        """A member's running jobs and the newest ended ones."""
        return await self._database.read(jobs.of_member(requester.guild_id, requester.user_id, RECENT))

    async def job(self, job_id: int) -> Job:
        """One job, by its id."""
        return await self._database.read(jobs.get(job_id))

    async def open_form(self, form: Form, oldest: int) -> None:
        """Write a form down before it is shown; forms with an id below `oldest` are forgotten."""
        await self._database.write(forms.keep(form, oldest))

    async def opened_form(self, form_id: int, user_id: int, guild_id: int) -> Form:
        """A form that this member has opened.

        Raises:
            BadSource: it is another member's, too old, was submitted before, or was never opened.
        """
        form = await self._database.read(forms.get(form_id))
        if form is None or form.guild_id != guild_id:
            raise BadSource("Easel no longer knows this form. Open it again.")
        if form.user_id != user_id:
            raise BadSource("Somebody else opened this form. Press Edit to open your own.")
        if not form.pictures:
            raise BadSource(SUBMITTED_BEFORE)
        return form

    async def close_form(self, form: Form) -> None:
        """Forget the pictures of a form that became a job."""
        await self._database.write(forms.close(form))

    async def result(self, message_id: int) -> Job | None:
        """The job whose pictures a message holds."""
        return await self._database.read(jobs.by_result(message_id))

    async def cancel(self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool) -> Job:
        """Cancel a job; returns it as it stands: cancelled, or asked to be, or too late.

        Raises:
            NotAllowed: it is another member's.
            NotFound: there is no such job in this server.
        """
        await self._job_of(job_id, user_id, guild_id, moderator=moderator, what="request", verb="cancel")
        job = await self._database.write(jobs.cancel(job_id, self._clock.now()))
        self._database.wake()
        if job.state is JobState.CANCELLED:
            await self._remove_card(job)
        return job

    async def deletable(self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool) -> Job:
        """The job behind a Delete button, if this person may delete its pictures.

        Raises:
            NotAllowed: neither the member who asked for them nor a moderator.
            NotFound: the pictures belong to another server.
        """
        return await self._job_of(job_id, user_id, guild_id, moderator=moderator, what="picture", verb="delete")

    async def _job_of(
        self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool, what: str, verb: str
    ) -> Job:
        job = await self.job(job_id)
        if guild_id != job.requester.guild_id:
            raise NotFound(f"Easel does not know this {what}.")
        if job.requester.user_id != user_id and not moderator:
            raise NotAllowed(f"Only the one who asked for this {what}, or a moderator, can {verb} it.")
        return job


def _accept(
    new: jobs.NewJob, orders: Sequence[ProviderOrder], default_limit: Limit, now: Instant
) -> Unit[AcceptedJob]:
    yield from stored.expect_orders(new.requester.guild_id, orders)
    return (yield from jobs.accept(new, default_limit, now))
