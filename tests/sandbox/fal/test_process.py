"""The stand-in as its own process."""

import asyncio
import signal
import subprocess
import sys
import time

import aiohttp


async def test_as_its_own_process_it_prints_its_url_and_ends_on_sigterm() -> None:
    command = (sys.executable, "-m", "bot.sandbox.fal", "--port", "0", "--one-picture")
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as http, http.get(f"{url}/sandbox/state") as response:
        assert (await response.json())["accepted"] == 0
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert time.monotonic() - begun < 5
