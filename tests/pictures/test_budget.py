"""The budget: never exceeded and never leaked, and every reservation is served at last."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.pictures.budget import Budget, on_behalf_of


class Reservation:
    """A task that holds memory from when it fits until it is released."""

    def __init__(self, budget: Budget, size: int, owner: int | None = None) -> None:
        self._budget = budget
        self._size = size
        self._owner = owner
        self._release = asyncio.Event()
        self._held = False
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._budget.room(self._size, self._owner):
            self._held = True
            try:
                await self._release.wait()
            finally:
                self._held = False

    def is_held(self) -> bool:
        return self._held

    async def release(self) -> None:
        self._release.set()
        await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def let_tasks_run() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def is_whole(budget: Budget, most: int) -> bool:
    """Whether the whole budget can be reserved at once."""
    async with asyncio.timeout(5), budget.room(most):
        return True


async def test_a_reservation_that_does_not_fit_waits_until_another_is_released() -> None:
    budget = Budget(10)
    first, second, third = (Reservation(budget, size) for size in (4, 6, 1))
    await let_tasks_run()
    assert (first.is_held(), second.is_held(), third.is_held()) == (True, True, False)
    await first.release()
    await let_tasks_run()
    assert third.is_held()
    await second.release()
    await third.release()
    assert await is_whole(budget, 10)


async def test_a_reservation_beyond_the_budget_waits_for_the_whole_budget() -> None:
    budget = Budget(10)
    small, huge = Reservation(budget, 1), Reservation(budget, 1_000_000)
    await let_tasks_run()
    assert (small.is_held(), huge.is_held()) == (True, False)
    await small.release()
    await let_tasks_run()
    assert huge.is_held()
    other = Reservation(budget, 1)
    await let_tasks_run()
    assert not other.is_held()
    await huge.release()
    await let_tasks_run()
    assert other.is_held()
    await other.release()


async def test_small_reservations_do_not_starve_a_large_one() -> None:
    budget = Budget(10)
    inside = [Reservation(budget, 3) for _ in range(3)]
    await let_tasks_run()
    huge = Reservation(budget, 10)
    await let_tasks_run()
    for _ in range(3):
        # Each small reservation that is released is followed by another, which would always fit.
        late = Reservation(budget, 3)
        await inside.pop(0).release()
        inside.append(late)
        await let_tasks_run()
    assert huge.is_held()
    await huge.release()
    for reservation in inside:
        await reservation.release()
    assert await is_whole(budget, 10)


async def test_a_reservation_of_nothing_never_waits() -> None:
    budget = Budget(10)
    full = Reservation(budget, 10)
    await let_tasks_run()
    async with asyncio.timeout(5), budget.room(0):
        pass
    await full.release()


@pytest.mark.parametrize("inside", [True, False])
async def test_a_cancelled_reservation_is_released_and_blocks_no_other(inside: bool) -> None:
    budget = Budget(10)
    holder = Reservation(budget, 10)
    waiting = [Reservation(budget, size) for size in (10, 5, 5)]
    await let_tasks_run()
    await (holder if inside else waiting[0]).cancel()
    await let_tasks_run()
    assert [reservation.is_held() for reservation in waiting] == ([True, False, False] if inside else [False] * 3)
    await (waiting[0] if inside else holder).release()
    await let_tasks_run()
    assert [reservation.is_held() for reservation in waiting[1:]] == [True, True]
    for reservation in waiting[1:]:
        await reservation.release()
    assert await is_whole(budget, 10)


async def test_an_exception_releases_the_reservation() -> None:
    budget = Budget(10)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="no picture"):
            async with budget.room(10):
                raise RuntimeError("no picture")
    assert await is_whole(budget, 10)


async def test_cancelled_at_any_moment_the_budget_is_whole_again() -> None:
    for turns in range(30):
        budget = Budget(10)
        reservations = [Reservation(budget, size) for size in (6, 6, 12, 2)]
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        for reservation in reservations[turns % 4 :]:
            reservation.task.cancel()
        await let_tasks_run()
        for reservation in reservations[: turns % 4]:
            reservation.task.cancel()
            reservation.task.cancel()
        await asyncio.gather(*(reservation.task for reservation in reservations), return_exceptions=True)
        assert await is_whole(budget, 10)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 50), st.lists(st.integers(0, 80), max_size=40), st.randoms(use_true_random=False))
def test_reservations_never_exceed_the_budget_and_all_are_served(
    most: int, sizes: list[int], chance: random.Random
) -> None:
    async def play() -> None:
        budget, held, highest, served = Budget(most), 0, 0, 0

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
        assert await is_whole(budget, most)

    asyncio.run(play())


async def test_many_reservations_share_the_budget() -> None:
    budget = Budget(100)
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        for _ in range(100):
            await stack.enter_async_context(budget.room(1))
        waiting = Reservation(budget, 1)
        await let_tasks_run()
        assert not waiting.is_held()
    await let_tasks_run()
    assert waiting.is_held()
    await waiting.release()


# Shares


async def test_a_member_holds_a_share_and_others_the_rest() -> None:
    budget = Budget(4, 2)
    greedy = [Reservation(budget, 1, 1) for _ in range(3)]
    other = Reservation(budget, 1, 2)
    await let_tasks_run()
    assert [reservation.is_held() for reservation in (*greedy, other)] == [True, True, False, True]
    await greedy[0].release()
    await let_tasks_run()
    assert greedy[2].is_held()
    for reservation in (*greedy[1:], other):
        await reservation.release()
    assert await is_whole(budget, 4)


async def test_what_is_larger_than_a_share_is_held_alone() -> None:
    budget = Budget(10, 4)
    large, second = Reservation(budget, 8, 1), Reservation(budget, 1, 1)
    await let_tasks_run()
    assert (large.is_held(), second.is_held()) == (True, False)
    await large.release()
    await second.release()


async def test_the_member_who_was_served_longest_ago_is_next() -> None:
    budget = Budget(1)
    first, *rest = [Reservation(budget, 1, 1) for _ in range(3)]
    await let_tasks_run()
    other = Reservation(budget, 1, 2)
    await let_tasks_run()
    await first.release()
    await let_tasks_run()
    assert other.is_held()
    for reservation in (other, *rest):
        await reservation.release()
    assert await is_whole(budget, 1)


async def test_members_who_come_again_and_again_do_not_go_before_one_who_waits() -> None:
    budget = Budget(1)
    served: list[int] = []

    async def take(owner: int, times: int = 1) -> None:
        for _ in range(times):
            async with budget.room(1, owner):
                await asyncio.sleep(0)
            served.append(owner)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(take(1))
        for owner in (2, 3):
            group.create_task(take(owner, times=20))
    assert served[:9].count(1) == 3
    assert await is_whole(budget, 1)


async def test_a_task_takes_room_for_the_member_it_works_for() -> None:
    budget = Budget(2, 1)
    on_behalf_of.set(7)
    held, waiting = Reservation(budget, 1), Reservation(budget, 1, 7)
    await let_tasks_run()
    assert (held.is_held(), waiting.is_held()) == (True, False)
    await held.release()
    await waiting.release()
