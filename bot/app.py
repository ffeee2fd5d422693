"""The composition root: opens everything in order and closes it in reverse. Nothing here runs by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.catalog.catalog import Catalog
from bot.chat.discord.announcer import Announcer
from bot.chat.discord.client import Easel, Services, invite_link, log_in, redirect, stay_connected
from bot.chat.discord.delivery import DiscordDelivery
from bot.domain.clock import Clock
from bot.domain.errors import SetupError, StorageError
from bot.domain.limits import Limit
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures
from bot.ports import Provider
from bot.providers.health import refresh
from bot.providers.registry import ProviderDeps, catalog_for, check_services, open_services, synchronous
from bot.providers.shared.http import open_session
from bot.providers.shared.polling import PollPolicy
from bot.routing.breaker import BreakerSettings
from bot.routing.router import Router
from bot.settings import Settings
from bot.storage import notes
from bot.storage.sqlite import Sqlite, open_sqlite
from bot.usecases.members import Defaults, MemberService
from bot.usecases.moderators import ModeratorService
from bot.worker.context import MemoryBudget, RetryPolicy, WorkerContext
from bot.worker.worker import Worker

log = logging.getLogger(__name__)

PREPARED_BYTES = 128 * 1024 * 1024
"""Source pictures that are in memory at the same time, for each service."""
SYNCHRONOUS_AT_ONCE = 32
"""Paintings that are waited for at a service that has no queue."""
LEARN_EVERY = 3600.0
"""Seconds between two looks at what the services offer."""
SPARE_CONNECTIONS = 32
"""Connections to services beside the one that each job may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """All that was opened. `client` and `worker` are not started yet."""

    settings: Settings
    database: Sqlite
    catalog: Catalog
    client: Easel
    worker: Worker
    studio: MemberService
    treasury: ModeratorService
    services: Mapping[str, Provider]
    routes: Router
    herald: Announcer
    clock: Clock


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    patience: RetryPolicy | None = None,
    pace: PollPolicy | None = None,
    cooling: BreakerSettings | None = None,
) -> AsyncIterator[App]:
    """Open the database, the HTTP clients and everything that is built on them.

    Raises:
        SetupError: something cannot work as it is set.
    """
    clock = clock or Clock()
    check_services(settings)
    catalog = catalog_for(settings)
    redirect(settings.discord_api_url, settings.discord_gateway_url)
    async with AsyncExitStack() as stack:
        database = await open_sqlite(settings.database_path, clock.now())
        stack.push_async_callback(database.aclose)
        http = await stack.enter_async_context(open_session(settings.jobs_at_once + SPARE_CONNECTIONS))
        pictures = stack.enter_context(closing(Pictures()))
        client = Easel(database=database)
        stack.push_async_callback(client.close)
        hosts = AllowedHosts.parse(settings.discord_media_hosts)
        delivery = await stack.enter_async_context(
            DiscordDelivery(client=client, hosts=hosts, pictures=pictures, catalog=catalog, clock=clock)
        )
        parts = ProviderDeps(
            settings=settings, http=http, catalog=catalog, pictures=pictures, clock=clock, pace=pace
        )
        services = await stack.enter_async_context(open_services(parts))
        routes = _routes(settings, catalog, services, clock, cooling)
        routes.retired |= await database.read(notes.retired())
        house = Defaults(
            default_model=_default_model(settings, catalog, routes), default_rule=_default_rule(settings)
        )
        studio = MemberService(
            database=database, delivery=delivery, catalog=catalog, routes=routes, clock=clock, house=house
        )
        treasury = ModeratorService(
            database=database, catalog=catalog, routes=routes, clock=clock, default_rule=house.default_rule
        )
        client.rooms = Services(studio=studio, treasury=treasury, catalog=catalog)
        workshop = WorkerContext(
            database=database,
            delivery=delivery,
            providers=services,
            routes=routes,
            default_rule=house.default_rule,
            pictures=pictures,
            clock=clock,
            patience=patience or RetryPolicy(lease=settings.lease_seconds),
            preparing={name: MemoryBudget(PREPARED_BYTES) for name in services},
            turns={name: asyncio.Semaphore(SYNCHRONOUS_AT_ONCE) for name in synchronous(settings)},
            delivering=defaultdict(lambda: asyncio.Semaphore(settings.uploads_at_once)),
        )
        yield App(
            settings=settings,
            database=database,
            catalog=catalog,
            client=client,
            worker=_worker(settings, workshop),
            studio=studio,
            treasury=treasury,
            services=services,
            routes=routes,
            herald=Announcer(client=client, treasury=treasury, database=database, clock=clock),
            clock=clock,
        )


def _routes(
    settings: Settings,
    catalog: Catalog,
    services: Mapping[str, Provider],
    clock: Clock,
    cooling: BreakerSettings | None,
) -> Router:
    names = {model.name for model in catalog.models}
    for setting, given in (("SERVICE_ORDER", set(settings.order)), ("MODELS", set(settings.allowed_models))):
        if given - names:
            raise SetupError(
                f"{setting} is not valid: choose among {', '.join(sorted(names))}, not {min(given - names)}."
            )
    asked = {name for order in settings.order.values() for name in order}
    if asked - set(services):
        raise SetupError(
            f"SERVICE_ORDER is not valid: there is no {min(asked - set(services))} here. "
            f"Choose among {', '.join(sorted(services))}, or set the key of another service."
        )
    return Router(
        catalog=catalog,
        services=tuple(services),
        clock=clock,
        order=settings.order,
        models=settings.allowed_models,
        cooling=cooling,
    )


def _default_model(settings: Settings, catalog: Catalog, routes: Router) -> str:
    """The default model's name. That its services no longer have it is no reason not to start."""
    name = catalog.canonical(settings.default_model)
    choices = [model.name for model in catalog.models if routes.configured(model)]
    if name not in choices:
        raise SetupError(f"DEFAULT_MODEL is not valid, as {name}: choose one of {', '.join(sorted(choices))}.")
    return name


def _worker(settings: Settings, workshop: WorkerContext) -> Worker:
    return Worker(
        name=f"{socket.gethostname()}-{os.getpid()}",
        workshop=workshop,
        jobs_at_once=settings.jobs_at_once,
        grace=settings.shutdown_seconds,
    )


def _default_rule(settings: Settings) -> Limit:
    number, window = settings.quota
    return Limit(subject="everyone", subject_id=0, unit="images", window=window, limit=number)


async def run(settings: Settings) -> None:
    """Gateway and worker in one process, until SIGTERM or Ctrl-C.

    Raises:
        SetupError: something cannot work as it is set.
        StorageError: the database went away.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_app(settings) as app:
        for notice in app.catalog.notices(datetime.now(UTC).date()):
            log.warning(notice)
        if not await _before(stop, log_in(app.client, settings.discord_token)):
            return
        log.info("add Easel to a server: %s", invite_link(app.client.application_id or 0))
        try:
            async with asyncio.TaskGroup() as group:
                worker = group.create_task(app.worker.run(), name="worker")
                learner = group.create_task(_keep_learning(app), name="learner")
                gateway = group.create_task(_hold_gateway(app, stop, worker), name="gateway")
                gateway.add_done_callback(lambda _: learner.cancel())
        except* (StorageError, SetupError) as group_error:
            raise group_error.exceptions[0] from None


async def _keep_learning(app: App) -> None:
    """Ask the services at the start and every hour how they are doing, and tell moderators what is new."""
    while True:
        await refresh(app.services, app.routes, app.database, app.clock)
        await app.client.wait_until_ready()
        await app.herald.tell()
        await asyncio.sleep(LEARN_EVERY)


async def _before(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Do the work unless there is a reason to stop first; whether it was done."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return task.done()
    finally:
        stopped.cancel()
        task.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


async def _hold_gateway(app: App, stop: asyncio.Event, worker: asyncio.Task[None]) -> None:
    """Stay at the gateway until there is a reason to stop; the worker finishes before it is left."""
    gateway = asyncio.create_task(stay_connected(app.client), name="connection")
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopped, gateway}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        app.worker.stop()
        await asyncio.wait({worker})
    finally:
        stopped.cancel()
        await app.client.close()
        # It may be asleep, minutes long, between two attempts to reconnect.
        gateway.cancel()
        await asyncio.gather(gateway, return_exceptions=True)
    if not gateway.cancelled():
        await gateway
