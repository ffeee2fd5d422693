"""The event stream of a request's status, and its faults."""

import json

import aiohttp
import pytest

from tests.support.sandbox.fal import events, open_fal


async def test_a_stream_opened_late_has_all_log_lines_and_ends() -> None:
    async with open_fal() as caller:
        submitted = await caller.submit()
        await caller.finished(submitted)
        lines, text = await events(caller, submitted)
        (event,) = [json.loads(line) for line in lines]
        assert (event["status"], len(event["logs"])) == ("COMPLETED", 3)
        assert ": ping" not in text


async def test_a_silent_stream_is_open_and_has_only_comments() -> None:
    async with open_fal(heartbeat_seconds=0.01) as caller:
        caller.sandbox.faults.set("stream_silent", times=1)
        submitted = await caller.submit()
        await caller.finished(submitted)
        lines, _ = await events(caller, submitted, pings=5)
        assert lines == []


async def test_a_garbled_stream_is_no_json() -> None:
    async with open_fal() as caller:
        caller.sandbox.faults.set("stream_garbled", times=1)
        lines, _ = await events(caller, await caller.submit())
        assert len(lines) > 2
        for line in lines:
            with pytest.raises(json.JSONDecodeError):
                json.loads(line)


async def test_a_stream_that_is_a_page_or_nothing_at_all() -> None:
    async with open_fal() as caller:
        submitted = await caller.submit()
        url = submitted["status_url"] + "/stream"
        caller.sandbox.faults.set("stream_html", times=1)
        status, page, headers = await caller.call("GET", url)
        assert (status, page[:6], headers["Content-Type"][:9]) == (200, b"<html>", "text/html")
        caller.sandbox.faults.set("stream_hang", times=1)
        with pytest.raises(TimeoutError):
            await caller.call("GET", url, timeout=aiohttp.ClientTimeout(total=0.1))
        caller.sandbox.faults.set("stream_hang", seconds=0.05)  # always: aiohttp asks again on a new connection
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.call("GET", url)
        assert (await caller.finished(submitted))["status"] == "COMPLETED"
