"""The composition root: opens everything in order and closes it in reverse. Nothing here runs by itself."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
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
from bot.chat.discord.sources import SourceReader
from bot.domain.clock import Clock
from bot.domain.errors import SetupError, StorageError
from bot.domain.limits import Limit
from bot.pictures.budget import Budget
from bot.pictures.pictures import Pictures
from bot.pictures.processes import Processes
from bot.ports import Provider
from bot.providers.registry import (
    LABELS,
    catalog_for,
    check_configured,
    open_providers,
    synchronous_providers,
)
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import ProviderDeps
from bot.routing.breaker import BreakerSettings
from bot.routing.router import Router
from bot.settings import Settings
from bot.storage import model_statuses
from bot.storage.sqlite import Sqlite, open_sqlite
from bot.usecases.members import MemberService
from bot.usecases.moderators import ModeratorService
from bot.usecases.submitting import Defaults
from bot.worker.context import RetryPolicy, WorkerContext
from bot.worker.provider_refresh import refresh
from bot.worker.worker import Worker

log = logging.getLogger(__name__)

SOURCE_BYTES = 512 * 1024 * 1024
"""Source pictures that are on disk at the same time, in the folder for temporary files."""
SYNCHRONOUS_SUBMITS = 32
"""Submits that are open at the same time at a synchronous provider."""
REFRESH_EVERY = 3600.0
"""Seconds between two checks of what the providers serve."""
SPARE_CONNECTIONS = 32
"""Connections to each service beside the one that each job may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything that `open_app` opened. `client` and `worker` are not started yet."""

    settings: Settings
    database: Sqlite
    catalog: Catalog
    client: Easel
    worker: Worker
    members: MemberService
    moderators: ModeratorService
    providers: Mapping[str, Provider]
    router: Router
    announcer: Announcer
    clock: Clock


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    retry_policy: RetryPolicy | None = None,
    poll_policy: PollPolicy | None = None,
    breaker_settings: BreakerSettings | None = None,
    picture_processes: Processes | None = None,
) -> AsyncIterator[App]:
    """Open the database, the HTTP clients and everything that is built on them.

    `picture_processes` that are given are shared, and stay open.

    Raises:
        SetupError: something cannot work as it is set.
    """
    clock = clock or Clock()
    check_configured(settings)
    catalog = catalog_for(settings)
    redirect(settings.discord_api_url, settings.discord_gateway_url)
    async with AsyncExitStack() as stack:
        database = await open_sqlite(settings.database_url.path, clock.now())
        stack.push_async_callback(database.aclose)
        pictures = stack.enter_context(closing(Pictures(picture_processes)))
        client = Easel(database=database)
        stack.push_async_callback(client.close)
        hosts = settings.discord_media_hosts
        sources = await stack.enter_async_context(SourceReader(client=client, hosts=hosts, clock=clock))
        delivery = DiscordDelivery(
            client=client,
            refusals=client.refusals,
            sources=sources,
            pictures=pictures,
            catalog=catalog,
            clock=clock,
        )
        deps = ProviderDeps(
            settings=settings,
            catalog=catalog,
            pictures=pictures,
            clock=clock,
            connections=settings.jobs_at_once + SPARE_CONNECTIONS,
            poll_policy=poll_policy,
        )
        providers = await stack.enter_async_context(open_providers(deps))
        router = _open_router(settings, catalog, providers, clock, breaker_settings)
        router.load(await database.read(model_statuses.all_statuses()))
        defaults = Defaults(model=_default_model(settings, catalog, router), limit=_default_limit(settings))
        members = MemberService(
            database=database, delivery=delivery, catalog=catalog, router=router, clock=clock, defaults=defaults
        )
        moderators = ModeratorService(
            database=database,
            catalog=catalog,
            router=router,
            clock=clock,
            default_limit=defaults.limit,
            provider_labels=LABELS,
        )
        client.services = Services(members=members, moderators=moderators, catalog=catalog)
        context = WorkerContext(
            database=database,
            delivery=delivery,
            providers=providers,
            router=router,
            default_limit=defaults.limit,
            pictures=pictures,
            clock=clock,
            retry_policy=retry_policy or RetryPolicy(lease=settings.lease_seconds),
            source_budget=Budget(SOURCE_BYTES, SOURCE_BYTES // 2),
            submit_slots={
                name: asyncio.Semaphore(SYNCHRONOUS_SUBMITS) for name in synchronous_providers(settings)
            },
            delivery_slots=defaultdict(
                lambda: Budget(settings.uploads_at_once, max(1, settings.uploads_at_once // 2))
            ),
        )
        yield App(
            settings=settings,
            database=database,
            catalog=catalog,
            client=client,
            worker=_worker(settings, context),
            members=members,
            moderators=moderators,
            providers=providers,
            router=router,
            announcer=Announcer(client=client, moderators=moderators, database=database, clock=clock),
            clock=clock,
        )


def _open_router(
    settings: Settings,
    catalog: Catalog,
    providers: Mapping[str, Provider],
    clock: Clock,
    breaker_settings: BreakerSettings | None,
) -> Router:
    names = {model.name for model in catalog.models}
    for setting, given in (("SERVICE_ORDER", set(settings.service_order)), ("MODELS", set(settings.models))):
        if given - names:
            raise SetupError(
                f"{setting} is not valid: choose among {', '.join(sorted(names))}, not {min(given - names)}."
            )
    asked = {name for order in settings.service_order.values() for name in order}
    if asked - set(providers):
        raise SetupError(
            f"SERVICE_ORDER is not valid: there is no {min(asked - set(providers))} here. "
            f"Choose among {', '.join(sorted(providers))}, or set the key of another service."
        )
    return Router(
        catalog=catalog,
        providers=tuple(providers),
        clock=clock,
        provider_orders=settings.service_order,
        allowed_models=settings.models,
        breaker_settings=breaker_settings,
    )


def _default_model(settings: Settings, catalog: Catalog, router: Router) -> str:
    """The default model's name, empty for the first that can do what is asked.

    It may be retired by now: that is no reason not to start.
    """
    name = catalog.canonical(settings.default_model)
    choices = [model.name for model in catalog.models if router.configured(model)]
    if not choices:
        raise SetupError("MODELS is not valid: no service that has a key paints any of them. Choose others.")
    if name and name not in choices:
        raise SetupError(f"DEFAULT_MODEL is not valid, as {name}: choose one of {', '.join(sorted(choices))}.")
    return name


def _worker(settings: Settings, context: WorkerContext) -> Worker:
    return Worker(
        # In a container, the next process may have the same host name and process id.
        name=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        context=context,
        jobs_at_once=settings.jobs_at_once,
        grace=settings.shutdown_seconds,
    )


def _default_limit(settings: Settings) -> Limit:
    quota = settings.default_quota
    return Limit(subject="everyone", subject_id=0, unit="images", window=quota.window, amount=quota.images)


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
        if not await _done_before_stop(stop, log_in(app.client, settings.discord_token)):
            return
        log.info("add Easel to a server: %s", invite_link(app.client.application_id or 0))
        try:
            async with asyncio.TaskGroup() as group:
                refresher = group.create_task(_keep_refreshing(app), name="refresher")
                worker = group.create_task(app.worker.run(), name="worker")
                gateway = group.create_task(_run_gateway(app, stop, worker), name="gateway")
                gateway.add_done_callback(lambda _: refresher.cancel())
        except* (StorageError, SetupError) as group_error:
            raise group_error.exceptions[0] from None


async def _keep_refreshing(app: App) -> None:
    """Check the providers at the start and every hour, and announce to moderators what is new."""
    while True:
        await refresh(app.providers, app.router, app.database, app.clock)
        await app.client.wait_until_ready()
        await app.announcer.announce()
        await asyncio.sleep(REFRESH_EVERY)


async def _done_before_stop(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Do the work unless `stop` is set first; returns whether it was done."""
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


async def _run_gateway(app: App, stop: asyncio.Event, worker: asyncio.Task[None]) -> None:
    """Stay connected until `stop` is set or the connection ends for good; the worker finishes first."""
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
        # discord.py may sleep for minutes between two attempts to reconnect.
        gateway.cancel()
        await asyncio.gather(gateway, return_exceptions=True)
    if not gateway.cancelled():
        await gateway
