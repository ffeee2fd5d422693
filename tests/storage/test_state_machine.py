"""Any steps in any order: the database and a small model in Python must agree after each."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.domain.errors import NotFound, QuotaExceeded
from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.money import Money
from bot.ports import Result, Unit
from bot.storage import grants, jobs, limits, reservations, submits
from bot.storage.sqlite import open_sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT_LIMIT,
    FAILED,
    GUILD,
    HOUR,
    LEASE_SECONDS,
    MODERATOR,
    NOW,
    assert_balanced,
    limit_for,
    new_job,
    requester,
    succeeded,
)

MEMBERS = (1, 2)
members = st.sampled_from(MEMBERS)


@dataclass
class ModelJob:
    """A job in the model: its state, and the images that it holds of its member's day and grants."""

    member: int
    day: int
    window: int
    granted: int
    state: JobState = JobState.WAITING
    claims: int = 0
    ticket: bool = False


class StorageMachine(RuleBasedStateMachine):
    """Two members of one guild, with limits, grants, lost leases and midnights."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.database = self.runner.run(open_sqlite(Path(self.folder.name) / "easel.db", NOW))
        self.now = NOW
        self.jobs: dict[int, ModelJob] = {}
        self.claims: list[Job] = []
        self.grants = dict.fromkeys(MEMBERS, 0)
        self.limit: int | None = None
        self.cap: int | None = None

    def write(self, unit: Unit[Result]) -> Result:
        return self.runner.run(self.database.write(unit))

    def room(self, member: int) -> tuple[int, int]:
        """Images left of a member's own day, and of the guild's."""
        today = [expected for expected in self.jobs.values() if expected.day == self.now // DAY]
        limit = DEFAULT_LIMIT.amount if self.limit is None else self.limit
        own = limit - sum(expected.window for expected in today if expected.member == member)
        cap = 10**6 if self.cap is None else self.cap
        return max(0, own), max(0, cap - sum(expected.window + expected.granted for expected in today))

    @rule(member=members, images=st.integers(1, 4), micros=st.integers(0, 900))
    def accept(self, member: int, images: int, micros: int) -> None:
        number = len(self.jobs) + 1
        own, server = self.room(member)
        left = min(own + self.grants[member], server)
        unit = jobs.accept(new_job(number, images, micros, requester(member)), DEFAULT_LIMIT, self.now)
        if images > left:
            with pytest.raises(QuotaExceeded) as refused:
                self.write(unit)
            assert refused.value.left == left
            return
        accepted = self.write(unit)
        assert accepted.allowance == self.write(reservations.allowance(requester(member), DEFAULT_LIMIT, self.now))
        window = min(images, own)
        self.jobs[number] = ModelJob(member, self.now // DAY, window, images - window)
        self.grants[member] -= images - window

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def accept_the_same_again(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.jobs)))
        again = self.write(jobs.accept(new_job(number, 4, by=requester(1)), DEFAULT_LIMIT, self.now))
        assert not again.created

    @rule(count=st.integers(1, 3))
    def claim(self, count: int) -> None:
        for job in self.write(jobs.claim("w", count, LEASE_SECONDS, self.now, "")):
            expected = self.jobs[job.id]
            expected.claims += 1
            assert expected.state in (JobState.WAITING, JobState.RUNNING, JobState.DELIVERING)
            expected.state = JobState.RUNNING if expected.state is JobState.WAITING else expected.state
            assert (job.attempts, job.state, bool(job.tickets)) == (
                expected.claims,
                expected.state,
                expected.ticket,
            )
            self.claims.append(job)

    def owned(self, job: Job, *states: JobState) -> bool:
        expected = self.jobs[job.id]
        return job.attempts == expected.claims and expected.state in (
            states or (JobState.RUNNING, JobState.DELIVERING)
        )

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def save_ticket(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job, JobState.RUNNING)
        assert self.write(submits.save_ticket(job, Ticket(provider="fal", data={}))) == owned
        self.jobs[job.id].ticket |= owned

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), micros=st.integers(0, 3000))
    def switch_model(self, data: st.DataObject, micros: int) -> None:
        place = data.draw(st.integers(0, len(self.claims) - 1))
        job = self.claims[place]
        request = replace(job.request, model="gpt-image-2")
        unit = jobs.switch_model(job, request, Money(micros), DEFAULT_LIMIT)
        if self.owned(job, JobState.RUNNING) and not self.jobs[job.id].ticket:
            self.claims[place] = self.write(unit)
            assert self.claims[place].reserved.money.micros == max(micros, job.reserved.money.micros)
        else:
            with pytest.raises(NotFound):
                self.write(unit)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), wait=st.integers(0, HOUR))
    def reschedule(self, data: st.DataObject, wait: int) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job)
        assert self.write(jobs.reschedule(job, self.now + wait, forget_submit=False)) == owned
        if owned and self.jobs[job.id].state is JobState.RUNNING:
            self.jobs[job.id].state = JobState.WAITING

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def begin_delivery(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job)
        assert self.write(jobs.begin_delivery(job, job.reserved, self.now)) == owned
        if owned:
            self.jobs[job.id].state = JobState.DELIVERING

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), images=st.integers(0, 4), micros=st.integers(0, 2000))
    def finish(self, data: st.DataObject, images: int, micros: int) -> None:
        job = data.draw(st.sampled_from(self.claims))
        images = min(images, job.reserved.images)
        owned = self.owned(job)
        ended = self.write(jobs.finish(job, succeeded(images, micros) if images else FAILED, self.now))
        assert (ended is not None) == owned
        if owned:
            self.ended(job.id, images, JobState.DONE if images else JobState.FAILED)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.jobs)))
        expected = self.jobs[number]
        at_once = expected.state is JobState.WAITING and not expected.ticket
        job = self.write(jobs.cancel(number, self.now))
        if at_once:
            self.ended(number, 0, JobState.CANCELLED)
        assert job.state is expected.state

    def ended(self, number: int, images: int, state: JobState) -> None:
        expected = self.jobs[number]
        back = min(expected.granted, expected.window + expected.granted - images)
        self.grants[expected.member] += back
        expected.granted -= back
        expected.window = images - expected.granted
        expected.state = state

    @rule(member=members, images=st.integers(-6, 6))
    def grant(self, member: int, images: int) -> None:
        change = self.write(grants.grant(GUILD, member, images, MODERATOR, "thanks", self.now))
        assert change == max(images, -self.grants[member])
        self.grants[member] += change

    @rule(limit=st.none() | st.integers(0, 12), server=st.booleans())
    def set_or_clear_a_limit(self, limit: int | None, server: bool) -> None:
        new = limit_for("guild", GUILD, limit or 0) if server else limit_for("everyone", 0, limit or 0)
        unit = (
            limits.clear_limit(GUILD, new, self.now) if limit is None else limits.set_limit(GUILD, new, self.now)
        )
        previous = self.cap if server else self.limit
        assert [old.amount for old in self.write(unit)] == ([] if previous is None else [previous])
        if server:
            self.cap = limit
        else:
            self.limit = limit

    @rule(hours=st.integers(1, 14))
    def time_goes_by(self, hours: int) -> None:
        self.now += hours * HOUR

    @invariant()
    def every_allowance_is_what_the_model_says(self) -> None:
        for member in MEMBERS:
            own, server = self.room(member)
            allowance = self.runner.run(
                self.database.read(reservations.allowance(requester(member), DEFAULT_LIMIT, self.now))
            )
            assert allowance.left == min(own + self.grants[member], server)

    @invariant()
    def the_ledger_balances(self) -> None:
        self.runner.run(assert_balanced(self.database))

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.runner.run(self.database.aclose())
            self.runner.close()
            self.folder.cleanup()


TestStorage = StorageMachine.TestCase
TestStorage.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
