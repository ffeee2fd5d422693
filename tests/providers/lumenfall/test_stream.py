"""Streams of pictures that Lumenfall does not document: odd, endless, or broken off."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from bot.domain.errors import PromptRejected, SubmitUnknown
from bot.domain.money import Money
from tests.support.providers.deps import painted
from tests.support.providers.lumenfall import (
    HURRIED,
    REQUEST,
    LumenfallFixture,
    assert_discreet,
    follow,
    open_fixture,
)

PICTURE = base64.b64encode(painted()).decode()
DONE: dict[str, Any] = {"type": "image_generation.completed", "b64_json": PICTURE}


def written(*events: Any) -> bytes:
    return b"".join(
        b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
        for event in events
    )


def partial(picture: Any = PICTURE) -> dict[str, Any]:
    return {"type": "image_generation.partial_image", "b64_json": picture, "partial_image_index": 0}


@asynccontextmanager
async def streaming(
    body: bytes, *, stays_open: bool = False
) -> AsyncIterator[tuple[LumenfallFixture, dict[str, Any]]]:
    """A fixture, and the settings for a server that streams `body` in response to every POST."""

    async def respond(request: web.Request) -> web.StreamResponse:
        await request.read()
        head = {"Content-Type": "text/event-stream; charset=utf-8", "X-Lumenfall-Request-Id": "req_1"}
        response = web.StreamResponse(headers=head)
        await response.prepare(request)
        await response.write(body)
        if stays_open:
            await asyncio.sleep(30)
        return response

    app = web.Application()
    app.router.add_post("/openai/v1/{path:.*}", respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    async with open_fixture() as fixture:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/openai/v1"
            yield fixture, {"base_url": url, "partials": 2}
        finally:
            await runner.cleanup()


@pytest.mark.parametrize(
    "events",
    [
        [DONE],
        [DONE | {"type": "image_edit.completed"}, b"[DONE]"],
        [b"?", b"[1]", b"null", {"type": "ping"}, {}, DONE],
        [{"type": "image_generation.completed", "b64_json": f"data:image/png;base64,{PICTURE}"}],
        [{"data": [{"b64_json": PICTURE}]}],
        [{"type": "image_generation.completed", "data": [{"b64_json": PICTURE}]}],
        [{"type": "image_generation.completed", "b64_json": "%%%"}, DONE],
        [partial(None), partial("%%%"), DONE],
    ],
)
async def test_a_finished_picture_is_found_in_whatever_surrounds_it(events: list[Any]) -> None:
    async with streaming(b": hello\n\n" + written(*events)) as (fixture, there):
        ticket = await fixture.submit(**there)
        assert (ticket.results, ticket.data["request_id"]) == ((painted(),), "req_1")


async def test_the_events_name_says_what_it_is_where_the_data_does_not() -> None:
    body = b'event: image_generation.completed\ndata: {"b64_json": "' + PICTURE.encode() + b'"}\n\n'
    async with streaming(body) as (fixture, there):
        assert (await fixture.submit(**there)).results == (painted(),)


async def test_a_stream_is_not_read_any_further_once_the_picture_is_there() -> None:
    async with streaming(written({**DONE, "metadata": {"cost": 0.05}}), stays_open=True) as (fixture, there):
        assert (await fixture.submit(**there)).data["cost"] == 50_000


async def test_a_link_in_the_place_of_bytes_is_followed() -> None:
    async with open_fixture() as painting:
        (link,) = (await painting.submit()).data["links"]
        event = {"type": "image_generation.completed", "url": link, "metadata": {"cost": "0.05"}}
        async with streaming(written(event)) as (fixture, there):
            ticket = await fixture.submit(**there)
            _, finished = await follow(fixture.lumenfall(), ticket)
            assert (finished.pictures[0].width, finished.cost) == (1024, Money(50_000))


@pytest.mark.parametrize(
    "preview", [None, 7, "", "%%%", base64.b64encode(b"<html>").decode(), "A" * 12_000_000], ids=lambda _: ""
)
async def test_a_preview_that_is_no_picture_is_not_shown(preview: Any) -> None:
    async with streaming(written(partial(preview), partial(), DONE)) as (fixture, there):
        await fixture.submit(**there)
        assert [item.preview for item in fixture.reported if item.preview] == [painted()]


async def test_no_more_previews_are_shown_than_can_be_requested() -> None:
    async with streaming(written(*[partial()] * 50, DONE)) as (fixture, there):
        await fixture.submit(**there)
        assert len([item for item in fixture.reported if item.preview]) == 3


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", SubmitUnknown),
        (written(partial()), SubmitUnknown),
        (written(DONE)[:-60], SubmitUnknown),
        (written({"type": "image_generation.completed", "b64_json": "%%%"}), SubmitUnknown),
        (written({"type": "error", "error": {"message": "gone", "code": "UPSTREAM_ERROR"}}), SubmitUnknown),
        (written({"error": {"code": "moderation_blocked", "message": "no fox"}}), PromptRejected),
        (b'event: error\ndata: {"message": "blocked by the safety system"}\n\n', PromptRejected),
    ],
)
async def test_a_stream_without_a_picture_may_have_cost_something(body: bytes, error: type[Exception]) -> None:
    async with streaming(body) as (fixture, there):
        with pytest.raises((SubmitUnknown, PromptRejected)) as caught:
            await fixture.submit(**there)
        assert type(caught.value) is error
        assert_discreet(caught.value)


async def test_an_endless_event_is_given_up() -> None:
    async with streaming(b"data: " + b"x" * 34_000_000) as (fixture, there):
        with pytest.raises(SubmitUnknown):
            await fixture.submit(**there)


async def test_what_is_finished_before_a_stream_breaks_off_is_stored() -> None:
    async with streaming(written(DONE, DONE), stays_open=True) as (fixture, there):
        submit = fixture.build_submit(replace(REQUEST, count=3))
        ticket = await fixture.submit(submit, **there, timeouts=HURRIED, extra={"stream": True})
        assert len(ticket.results) == 2
        _, finished = await follow(fixture.lumenfall(), ticket)
        assert len(finished.pictures) == 2
