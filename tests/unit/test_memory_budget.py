"""Room in memory: never more than there is, whoever comes, leaves or is cancelled, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.worker.context import MemoryBudget


class Reservation:
    """Somebody who takes room, says so, and leaves when told."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self._size = size
        self._leave = asyncio.Event()
        self._inside = False
        self.task = asyncio.create_task(self._stay())

    async def _stay(self) -> None:
        async with self._budget.room(self._size):
            self._inside = True
            try:
                await self._leave.wait()
            finally:
                self._inside = False

    def is_inside(self) -> bool:
        return self._inside

    async def leave(self) -> None:
        self._leave.set()
        await self.task

    async def drop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def settled() -> None:
    """Let everybody who can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def all_is_free(budget: MemoryBudget, most: int) -> bool:
    """Whether the whole of it can be had at once."""
    async with asyncio.timeout(5), budget.room(most):
        return True


async def test_who_fits_goes_in_and_who_does_not_waits_until_somebody_leaves() -> None:
    budget = MemoryBudget(10)
    first, second, third = (Reservation(budget, size) for size in (4, 6, 1))
    await settled()
    assert (first.is_inside(), second.is_inside(), third.is_inside()) == (True, True, False)
    await first.leave()
    await settled()
    assert third.is_inside()
    await second.leave()
    await third.leave()
    assert await all_is_free(budget, 10)


async def test_who_wants_more_than_all_waits_for_all() -> None:
    budget = MemoryBudget(10)
    small, huge = Reservation(budget, 1), Reservation(budget, 1_000_000)
    await settled()
    assert (small.is_inside(), huge.is_inside()) == (True, False)
    await small.leave()
    await settled()
    assert huge.is_inside()
    other = Reservation(budget, 1)
    await settled()
    assert not other.is_inside()
    await huge.leave()
    await settled()
    assert other.is_inside()
    await other.leave()


async def test_a_big_one_is_not_passed_by_for_ever_by_small_ones() -> None:
    budget = MemoryBudget(10)
    inside = [Reservation(budget, 3) for _ in range(3)]
    await settled()
    huge = Reservation(budget, 10)
    await settled()
    for _ in range(3):
        # For each small one that leaves another comes; without a turn they would always fit.
        late = Reservation(budget, 3)
        await inside.pop(0).leave()
        inside.append(late)
        await settled()
    assert huge.is_inside()
    await huge.leave()
    for guest in inside:
        await guest.leave()
    assert await all_is_free(budget, 10)


async def test_nothing_takes_no_room() -> None:
    budget = MemoryBudget(10)
    full = Reservation(budget, 10)
    await settled()
    async with asyncio.timeout(5), budget.room(0):
        pass
    await full.leave()


@pytest.mark.parametrize("inside", [True, False])
async def test_who_is_cancelled_gives_back_what_they_held_and_holds_up_nobody(inside: bool) -> None:
    budget = MemoryBudget(10)
    holder = Reservation(budget, 10)
    waiting = [Reservation(budget, size) for size in (10, 5, 5)]
    await settled()
    await (holder if inside else waiting[0]).drop()
    await settled()
    assert [guest.is_inside() for guest in waiting] == ([True, False, False] if inside else [False] * 3)
    await (waiting[0] if inside else holder).leave()
    await settled()
    assert [guest.is_inside() for guest in waiting[1:]] == [True, True]
    for guest in waiting[1:]:
        await guest.leave()
    assert await all_is_free(budget, 10)


async def test_a_failure_inside_gives_back_what_was_held() -> None:
    budget = MemoryBudget(10)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no picture"):
            async with budget.room(10):
                raise RuntimeError("no picture")
    assert await all_is_free(budget, 10)


async def test_cancelled_at_any_moment_it_is_whole_again() -> None:
    for turns in range(30):
        budget = MemoryBudget(10)
        guests = [Reservation(budget, size) for size in (6, 6, 12, 2)]
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        for guest in guests[turns % 4 :]:
            guest.task.cancel()
        await settled()
        for guest in guests[: turns % 4]:
            guest.task.cancel()
            guest.task.cancel()
        await asyncio.gather(*(guest.task for guest in guests), return_exceptions=True)
        assert await all_is_free(budget, 10)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.lists(st.integers(0, 80), max_size=40), st.randoms(use_true_random=False))
def test_never_more_than_there_is_and_everybody_gets_in(
    most: int, sizes: list[int], chance: random.Random
) -> None:
    async def play() -> None:
        budget, held, highest, served = MemoryBudget(most), 0, 0, 0

        async def one(size: int) -> None:
            nonlocal held, highest, served
            async with budget.room(size):
                held += min(size, most)
                highest = max(highest, held)
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
                held -= min(size, most)
                served += 1

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for size in sizes:
                group.create_task(one(size))
        assert highest <= most
        assert served == len(sizes)
        assert await all_is_free(budget, most)

    asyncio.run(play())


async def test_many_may_share_it_at_once() -> None:
    budget = MemoryBudget(100)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        for _ in range(100):
            await stack.enter_async_context(budget.room(1))
        waiting = Reservation(budget, 1)
        await settled()
        assert not waiting.is_inside()
    await settled()
    assert waiting.is_inside()
    await waiting.leave()
