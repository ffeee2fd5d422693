"""The processes that open pictures: they end in time, come back, hold up nobody and outlive nobody."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest
from PIL import Image

from bot.domain.errors import BadSource
from bot.pictures.budget import on_behalf_of
from bot.pictures.child import MEMORY_LIMIT
from bot.pictures.pictures import PROCESSES, Pictures
from bot.pictures.processes import Processes
from tests.support.picture_files import encoded, noise, png, slow_jpeg
from tests.support.waiting import wait_until


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Processes of the test's own, not started yet."""
    with closing(Processes(PROCESSES)) as opened:
        yield opened


def children(parent: int = 0) -> list[psutil.Process]:
    """The picture processes of a process."""
    found = psutil.Process(parent or os.getpid()).children(recursive=True)
    return [child for child in found if "bot.pictures.child" in " ".join(child.cmdline())]


async def new_child(pictures: Pictures) -> psutil.Process:
    """The process that a picture started."""
    before = set(children())
    await pictures.inspect(png(), filename="1")
    [child] = set(children()) - before
    return child


async def test_a_picture_that_takes_too_long_is_refused_and_its_process_killed(processes: Processes) -> None:
    pictures = Pictures(processes, looking=0.7)
    child = await new_child(pictures)
    began = time.monotonic()
    with pytest.raises(BadSource, match="is not a picture Easel can read"):
        await pictures.inspect(slow_jpeg(), filename="slow.jpg", result=True)
    assert time.monotonic() - began < 5
    await wait_until(lambda: not child.is_running())
    assert (await pictures.inspect(png(), filename="1")).width == 64


async def test_slow_pictures_of_one_member_leave_a_process_to_the_others(processes: Processes) -> None:
    pictures = Pictures(processes, looking=20)
    slow = slow_jpeg()

    async def inspect(member: int, content: bytes) -> None:
        on_behalf_of.set(member)
        await pictures.inspect(content, filename="1", result=True)

    attack = [asyncio.create_task(inspect(1, slow)) for _ in range(8)]
    try:
        await wait_until(lambda: children() or None)
        async with asyncio.timeout(10):
            await asyncio.create_task(inspect(2, png()))
        assert not any(task.done() for task in attack)
    finally:
        for task in attack:
            task.cancel()
        await asyncio.gather(*attack, return_exceptions=True)


async def test_a_cancelled_picture_frees_its_process_at_once(processes: Processes) -> None:
    pictures = Pictures(processes, looking=60)
    child = await new_child(pictures)
    task = asyncio.create_task(pictures.inspect(slow_jpeg(), filename="slow.jpg", result=True))
    await wait_until(lambda: child.status() == psutil.STATUS_RUNNING)
    task.cancel()
    await wait_until(lambda: not child.is_running())


async def test_a_process_that_was_killed_is_replaced_and_its_picture_opened_again(processes: Processes) -> None:
    pictures = Pictures(processes)
    child = await new_child(pictures)
    child.kill()
    assert (await pictures.inspect(png(), filename="1")).width == 64


async def test_closing_ends_what_is_running(processes: Processes) -> None:
    pictures = Pictures(processes, looking=60)
    child = await new_child(pictures)
    task = asyncio.create_task(pictures.inspect(slow_jpeg(), filename="slow.jpg", result=True))
    await wait_until(lambda: child.status() == psutil.STATUS_RUNNING)
    began = time.monotonic()
    processes.close()
    assert time.monotonic() - began < 5
    assert not child.is_running()
    with pytest.raises(BadSource):
        await task


async def test_a_process_has_no_secrets_no_sockets_and_bounded_memory(processes: Processes) -> None:
    pictures = Pictures(processes)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    try:
        child = await new_child(pictures)
        assert set(child.environ()) <= {
            "PYTHONPATH",
            "MALLOC_ARENA_MAX",
            "MALLOC_MMAP_THRESHOLD_",
            "LC_CTYPE",
        }
        assert child.net_connections() == []
        assert child.memory_info().rss < 40_000_000
        assert child.rlimit(psutil.RLIMIT_DATA)[0] == MEMORY_LIMIT
    finally:
        server.close()
        await server.wait_closed()


async def test_heavy_work_leaves_no_memory_with_its_process(processes: Processes) -> None:
    pictures = Pictures(processes)
    child = await new_child(pictures)
    picture = await pictures.inspect(encoded(noise((1500, 1500)), "PNG"), filename="1")
    idle = child.memory_info().rss
    assert (await pictures.convert(picture, "gif", None)).content_type == "image/gif"
    await wait_until(lambda: child.memory_info().rss < idle + 32 * 1024 * 1024)


async def test_ctrl_c_in_a_terminal_is_for_the_bot_alone(processes: Processes) -> None:
    child = await new_child(Pictures(processes))
    assert os.getpgid(child.pid) != os.getpgid(0)


PARENT = """
import asyncio, sys
from bot.pictures.pictures import Pictures

async def main():
    content = sys.stdin.buffer.read()
    await Pictures(looking=60).inspect(content, filename="1", result=True)

asyncio.run(main())
"""


async def test_a_process_ends_with_its_parent_also_in_the_middle_of_a_picture() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdin=PIPE)
    try:
        assert parent.stdin is not None
        parent.stdin.write(slow_jpeg())
        parent.stdin.close()
        [child] = await wait_until(lambda: children(parent.pid))
        await wait_until(lambda: child.cpu_times().user > 0.5)
        assert parent.returncode is None
    finally:
        parent.kill()
        await parent.wait()
    await wait_until(lambda: not child.is_running())


async def test_the_largest_pictures_that_are_allowed_are_opened_one_at_a_time(processes: Processes) -> None:
    pictures, others = Pictures(processes), set(children())
    content = encoded(Image.new("RGB", (5_000, 4_000)), "JPEG", progressive=True, subsampling=0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(pictures.inspect(content, filename="1", result=True)) for _ in range(2)]
        peak = 0
        while not all(task.done() for task in tasks):
            peak = max(peak, sum(child.memory_info().rss for child in set(children()) - others))
            await asyncio.sleep(0.01)
    # Each takes 120 MB.
    assert [task.result().width for task in tasks] == [5_000, 5_000]
    assert peak < 220_000_000


async def test_a_picture_of_a_member_waits_for_one_heavy_picture_of_another_and_not_for_all(
    processes: Processes,
) -> None:
    pictures = Pictures(processes)
    finished: list[int] = []

    async def convert(member: int, content: bytes) -> None:
        on_behalf_of.set(member)
        picture = await pictures.inspect(content, filename="1")
        await pictures.convert(picture, "webp", 80)
        finished.append(member)

    heavy, small = encoded(noise((500, 500)), "PNG"), png()
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(convert(1, heavy))
        await wait_until(lambda: children() or None)
        await group.create_task(convert(2, small))
        assert len(finished) <= 3
