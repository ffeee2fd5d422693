"""What the tests of all providers share: deps as `app.py` makes them, requests and pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

from PIL import Image

from bot.catalog.catalog import Catalog
from bot.domain.clock import Clock, real_time
from bot.domain.content import Content
from bot.domain.jobs import Progress
from bot.domain.pictures import InputPicture, Picture
from bot.domain.requests import ImageRequest, Source
from bot.net.http import Timeouts
from bot.pictures.pictures import Pictures
from bot.providers.registry import adapt_catalog
from bot.providers.shared.polling import PollPolicy
from bot.providers.shared.spec import ProviderDeps
from bot.settings import Settings, given
from tests.support.raw_server import RespondingServer, http, responding

CATALOG = Catalog.load()
"""Read once: it never changes."""
LOCAL_HOSTS = "127.0.0.1:*"
POLL_POLICY = PollPolicy(first=0.01, longest=0.02, jitter=0, first_retry=0.01, longest_retry=0.02, failures=5)
HURRIED = Timeouts(connect=2, read=0.2, total=0.6)
SOURCE = Source(url="https://cdn.discordapp.com/a.png", filename="a.png")
REQUEST = ImageRequest(prompt="a fox in the snow", model="gpt-image-1.5", quality="low")
EDIT = replace(REQUEST, sources=(SOURCE,))


def provider_deps(
    pictures: Pictures,
    *,
    clock: Clock | None = None,
    poll_policy: PollPolicy | None = POLL_POLICY,
    timeouts: Timeouts | None = None,
    connections: int = 100,
    catalog: Catalog = CATALOG,
    unchecked: Mapping[str, Any] | None = None,
    **settings: Any,
) -> ProviderDeps:
    """Deps with these settings; `unchecked` ones are set without the settings' own checks.

    Raises:
        SetupError: a setting is wrong.
    """
    assert set(settings) <= set(Settings.model_fields)
    loaded = given(discord_token="token", **settings).model_copy(update=dict(unchecked or {}))
    return ProviderDeps(
        settings=loaded,
        catalog=adapt_catalog(catalog, loaded),
        pictures=pictures,
        clock=clock or Clock(),
        connections=connections,
        poll_policy=poll_policy,
        timeouts=timeouts,
    )


def clock_ahead(seconds: float) -> Clock:
    """A clock that is this far ahead of the real one."""
    return Clock(now=lambda: real_time() + int(seconds * 1000))


def painted(size: tuple[int, int] = (64, 64), mode: str = "RGB", colour: Any = "red", kind: str = "PNG") -> bytes:
    """A picture file of one colour."""
    buffer = BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return buffer.getvalue()


def input_picture(
    content: bytes, *, url: str | None = None, filename: str = "a.png", content_type: str = "image/png"
) -> InputPicture:
    """A picture as the worker hands it to a provider."""
    picture = Picture(stored=content, content_type=content_type, filename=filename, width=64, height=64)
    return InputPicture(picture=picture, url=url)


@asynccontextmanager
async def picture_host() -> AsyncIterator[RespondingServer]:
    """A server with a good picture at every path."""
    async with responding(http(200, painted(), content_type="image/png")) as server:
        yield server


def ignore_progress(_: Progress) -> None:
    """For a submit whose progress does not matter."""


async def no_stored_results() -> tuple[Content, ...]:
    """An empty spool."""
    return ()
