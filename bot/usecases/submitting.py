"""Submits requests: chooses the model, checks, and writes the job and its reservation down in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.catalog.catalog import Catalog
from bot.domain import checks
from bot.domain.choices import RetryOffer
from bot.domain.clock import Clock, Instant
from bot.domain.errors import NotFound, Refused
from bot.domain.jobs import AcceptedJob, Job
from bot.domain.limits import Limit
from bot.domain.money import Amount
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.ports import Database, Unit
from bot.routing.router import Router
from bot.routing.succession import resolve_model, succession_notice
from bot.storage import jobs, reservations, retries
from bot.storage import provider_orders as stored
from bot.usecases.choosing import without_one_option
from bot.usecases.inheritance import inherit
from bot.usecases.uploads import uploads_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the operator has set for every server."""

    model: str
    limit: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to submit. An edit takes over the options of the job `parent_id`, which made its picture."""

    job_id: int
    requester: Requester
    request: ImageRequest
    reply: ReplyAddress
    parent_id: int | None = None
    offer: RetryOffer | None = None
    """The offer that is accepted by it: then nothing is inherited anew."""


class Submitter:
    """Knows the orders of providers as they were last read."""

    def __init__(
        self, *, database: Database, catalog: Catalog, router: Router, clock: Clock, defaults: Defaults
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._router = router
        self._clock = clock
        self._defaults = defaults
        self._known_orders: dict[int, list[ProviderOrder]] = {}

    async def submit(self, asked: Asked) -> AcceptedJob:
        """Submit by the orders of providers as they were last read and, where others hold by now, by those.

        Raises:
            Refused: by one of its classes; nothing was written.
            RetriedBefore, Dearer, UploadsGone: the offer cannot be accepted; nothing was written.
        """
        checks.check_request(asked.request)
        guild_id = asked.requester.guild_id
        orders = self._known_orders.get(guild_id)
        if orders is not None:
            with suppress(Refused, stored.OrdersChanged):
                return await self._submit(asked, orders)
        while True:
            orders = self._known_orders[guild_id] = await self._database.read(stored.orders(guild_id))
            try:
                return await self._submit(asked, orders)
            except stored.OrdersChanged:
                continue
            except Refused:
                if (accepted := await self._accepted_before(asked.job_id, asked.requester)) is None:
                    raise
                return accepted

    async def _accepted_before(self, job_id: int, requester: Requester) -> AcceptedJob | None:
        """The job, where the request was accepted before, perhaps by another process, and no longer would be."""
        try:
            job = await self._database.read(jobs.get(job_id))
        except NotFound:
            return None
        unit = reservations.allowance(requester, self._defaults.limit, self._clock.now())
        return AcceptedJob(job=job, created=False, ahead=0, allowance=await self._database.read(unit))

    async def _submit(self, asked: Asked, orders: Sequence[ProviderOrder]) -> AcceptedJob:
        request = asked.request
        if any(source.spoiler for source in request.sources):
            request = replace(request, spoiler=True)
        parent = await self._parent(asked.parent_id, asked.requester.guild_id)
        if parent is not None and asked.offer is None:
            request = self._inherit(request, parent.request, orders)
        request = self._with_model(request, orders)
        candidates = self._router.candidates(request, orders)
        price = self._router.price(candidates)
        new = jobs.NewJob(
            id=asked.job_id,
            requester=asked.requester,
            request=request,
            reply=asked.reply,
            cost=Amount(images=request.count, money=price),
            parent_id=parent.id if parent else None,
            waits_for_uploads=asked.offer is None and bool(uploads_of(request)),
        )
        unit = _accept(new, asked.offer, orders, self._defaults.limit, self._clock.now())
        accepted = await self._database.write(unit)
        self._database.wake()
        changes = (*request.fallbacks, *candidates[0].changes)
        if request.instead_of is not None:
            changes = (succession_notice(self._router, request.instead_of, request.model), *changes)
        return replace(accepted, price=price, changes=changes, quality=candidates[0].quality)

    def _default_model(self, request: ImageRequest, orders: Sequence[ProviderOrder]) -> str:
        """The model for a request without one: the operator's, or the first of this server's that can do it."""
        name = self._defaults.model
        usable = [model.name for model in self._router.offered_models(orders)]
        if not usable:
            return name or self._catalog.models[0].name
        if name and resolve_model(self._router, name, orders, request) in usable:
            return name
        # Where none can do it, the one that lacks least says what it lacks.
        for attempt in (request, *without_one_option(request)):
            for model, _ in self._router.able_models(attempt, orders):
                return model.name
        return usable[0]

    def _with_model(self, request: ImageRequest, orders: Sequence[ProviderOrder]) -> ImageRequest:
        """The request with its model, the default one or the successor of one that is gone."""
        wanted = self._catalog.canonical(request.model or self._default_model(request, orders))
        model = resolve_model(self._router, wanted, orders, request)
        return replace(request, model=model, instead_of=wanted if model != wanted else None)

    async def _parent(self, job_id: int | None, guild_id: int) -> Job | None:
        """The job that made the picture of an edit, if this server has it."""
        if job_id is None:
            return None
        try:
            job = await self._database.read(jobs.get(job_id))
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


def _accept(
    new: jobs.NewJob,
    offer: RetryOffer | None,
    orders: Sequence[ProviderOrder],
    default_limit: Limit,
    now: Instant,
) -> Unit[AcceptedJob]:
    yield from stored.expect_orders(new.requester.guild_id, orders)
    if offer is not None:
        # Before the reservation: the first press may have taken the last picture of the allowance.
        yield from retries.accept(offer, new.id, new.cost.money, uploads_of(new.request), now)
    return (yield from jobs.accept(new, default_limit, now))
