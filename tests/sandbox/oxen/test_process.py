"""The stand-in as its own process."""

import asyncio
import signal
import subprocess
import sys
import time

import httpx

from tests.support.sandbox.oxen import AUTH, PLAIN


async def test_as_its_own_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    command = (sys.executable, "-m", "bot.sandbox.oxen", "--port", "0", "--one-picture", "--credits", "5")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with httpx.AsyncClient(**PLAIN) as http, http.stream("GET", f"{url}/api/events", headers=AUTH):
        assert (await http.get(f"{url}/sandbox/state")).json()["credits"] == 5
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert time.monotonic() - begun < 5
