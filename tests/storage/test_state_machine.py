"""Anything in any order: the database and a few lines of Python must agree after every step."""

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
from bot.storage import grants, jobs, quotas, submits
from bot.storage import limits as rules
from bot.storage.sqlite import open_sqlite
from tests.support.ledger import (
    DAY,
    DEFAULT,
    FAILED,
    GUILD,
    HOUR,
    LEASE,
    MODERATOR,
    NOW,
    asked,
    assert_balanced,
    done,
    requester,
)
from tests.support.ledger import rule as limit_of

MEMBERS = (1, 2)
members = st.sampled_from(MEMBERS)


@dataclass
class ModelJob:
    """A job as the model sees it: what it holds, and whose day that is."""

    member: int
    day: int
    window: int
    granted: int
    state: JobState = JobState.WAITING
    claims: int = 0
    ticket: bool = False


class StorageMachine(RuleBasedStateMachine):
    """Two members of one server, with limits, grants, crashes and midnights."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.database = self.runner.run(open_sqlite(Path(self.folder.name) / "easel.db", NOW))
        self.now = NOW
        self.paints: dict[int, ModelJob] = {}
        self.claims: list[Job] = []
        self.grants = dict.fromkeys(MEMBERS, 0)
        self.limit: int | None = None
        self.cap: int | None = None

    def write(self, unit: Unit[Result]) -> Result:
        return self.runner.run(self.database.write(unit))

    def room(self, member: int) -> tuple[int, int]:
        """What is left of a member's own day, and of the server's."""
        today = [paint for paint in self.paints.values() if paint.day == self.now // DAY]
        limit = DEFAULT.limit if self.limit is None else self.limit
        own = limit - sum(paint.window for paint in today if paint.member == member)
        cap = 10**6 if self.cap is None else self.cap
        return max(0, own), max(0, cap - sum(paint.window + paint.granted for paint in today))

    @rule(member=members, images=st.integers(1, 4), micros=st.integers(0, 900))
    def ask(self, member: int, images: int, micros: int) -> None:
        number = len(self.paints) + 1
        own, server = self.room(member)
        left = min(own + self.grants[member], server)
        unit = jobs.accept(asked(number, images, micros, requester(member)), DEFAULT, self.now)
        if images > left:
            with pytest.raises(QuotaExceeded) as refused:
                self.write(unit)
            assert refused.value.left == left
            return
        self.write(unit)
        window = min(images, own)
        self.paints[number] = ModelJob(member, self.now // DAY, window, images - window)
        self.grants[member] -= images - window

    @precondition(lambda self: self.paints)
    @rule(data=st.data())
    def ask_the_same_again(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.paints)))
        again = self.write(jobs.accept(asked(number, 4, who=requester(1)), DEFAULT, self.now))
        assert not again.created

    @rule(most=st.integers(1, 3))
    def claim(self, most: int) -> None:
        for job in self.write(jobs.claim("w", most, LEASE, self.now, "")):
            paint = self.paints[job.id]
            paint.claims += 1
            assert paint.state in (JobState.WAITING, JobState.RUNNING, JobState.DELIVERING)
            paint.state = JobState.RUNNING if paint.state is JobState.WAITING else paint.state
            assert (job.attempts, job.state, bool(job.tickets)) == (paint.claims, paint.state, paint.ticket)
            self.claims.append(job)

    def owned(self, job: Job, *states: JobState) -> bool:
        paint = self.paints[job.id]
        return job.attempts == paint.claims and paint.state in (states or (JobState.RUNNING, JobState.DELIVERING))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def save_a_ticket(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job, JobState.RUNNING)
        assert self.write(submits.save_ticket(job, Ticket(provider="fal", data={}), self.now)) == owned
        self.paints[job.id].ticket |= owned

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), micros=st.integers(0, 3000))
    def let_a_successor_take_over(self, data: st.DataObject, micros: int) -> None:
        place = data.draw(st.integers(0, len(self.claims) - 1))
        job = self.claims[place]
        request = replace(job.request, model="gpt-image-2")
        unit = jobs.switch_model(job, request, Money(micros), DEFAULT, self.now)
        if self.owned(job, JobState.RUNNING) and not self.paints[job.id].ticket:
            self.claims[place] = self.write(unit)
            assert self.claims[place].reserved.money.micros == max(micros, job.reserved.money.micros)
        else:
            with pytest.raises(NotFound):
                self.write(unit)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), wait=st.integers(0, HOUR))
    def postpone(self, data: st.DataObject, wait: int) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job)
        assert self.write(jobs.reschedule(job, self.now + wait, self.now, not_submitted=False)) == owned
        if owned and self.paints[job.id].state is JobState.RUNNING:
            self.paints[job.id].state = JobState.WAITING

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def begin_to_post(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.claims))
        owned = self.owned(job)
        assert self.write(jobs.begin_delivery(job, job.reserved, self.now)) == owned
        if owned:
            self.paints[job.id].state = JobState.DELIVERING

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), images=st.integers(0, 4), micros=st.integers(0, 2000))
    def end(self, data: st.DataObject, images: int, micros: int) -> None:
        job = data.draw(st.sampled_from(self.claims))
        images = min(images, job.reserved.images)
        owned = self.owned(job)
        ended = self.write(jobs.finish(job, done(images, micros) if images else FAILED, self.now))
        assert (ended is not None) == owned
        if owned:
            self.ended(job.id, images, JobState.DONE if images else JobState.FAILED)

    @precondition(lambda self: self.paints)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.paints)))
        paint = self.paints[number]
        at_once = paint.state is JobState.WAITING and not paint.ticket
        answer = self.write(jobs.cancel(number, self.now))
        if at_once:
            self.ended(number, 0, JobState.CANCELLED)
        assert answer.state is paint.state

    def ended(self, number: int, images: int, state: JobState) -> None:
        paint = self.paints[number]
        back = min(paint.granted, paint.window + paint.granted - images)
        self.grants[paint.member] += back
        paint.granted -= back
        paint.window = images - paint.granted
        paint.state = state

    @rule(member=members, images=st.integers(-6, 6))
    def grant(self, member: int, images: int) -> None:
        change = self.write(grants.grant(GUILD, member, images, MODERATOR, "so be it", self.now))
        assert change == max(images, -self.grants[member])
        self.grants[member] += change

    @rule(limit=st.none() | st.integers(0, 12), server=st.booleans())
    def set_or_clear_a_limit(self, limit: int | None, server: bool) -> None:
        new = limit_of("guild", GUILD, limit or 0) if server else limit_of("everyone", 0, limit or 0)
        unit = rules.clear_limit(GUILD, new, self.now) if limit is None else rules.set_limit(GUILD, new, self.now)
        former = self.cap if server else self.limit
        assert [old.limit for old in self.write(unit)] == ([] if former is None else [former])
        if server:
            self.cap = limit
        else:
            self.limit = limit

    @rule(hours=st.integers(1, 14))
    def time_goes_by(self, hours: int) -> None:
        self.now += hours * HOUR

    @invariant()
    def everybody_may_ask_for_what_the_model_says(self) -> None:
        for member in MEMBERS:
            own, server = self.room(member)
            allowance = self.runner.run(self.database.read(quotas.allowance(requester(member), DEFAULT, self.now)))
            assert allowance.left == min(own + self.grants[member], server)

    @invariant()
    def the_books_balance(self) -> None:
        self.runner.run(assert_balanced(self.database))

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.runner.run(self.database.aclose())
            self.runner.close()
            self.folder.cleanup()


TestStudio = StorageMachine.TestCase
TestStudio.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
