"""The demo's stage for tests: quick providers, and a failure for every error that no test expects."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import discord
import simcord

from bot.demo.stage import Stage, job_of, open_stage
from bot.domain.errors import Refused
from bot.domain.jobs import Job
from bot.sandbox import painter
from tests.support.databases import place_database
from tests.support.picture_processes import SHARED


class ErrorLog(logging.Handler):
    """Collects log records of errors; for errors that discord.py only logs they are the only trace."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record with its exception."""
        self.messages.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")


@asynccontextmanager
async def open_test_stage(folder: Path, *, expected: Sequence[str] = ()) -> AsyncIterator[Stage]:
    """Open a stage; in the end, fail for each error that was raised, or logged without an `expected` text."""
    error_log = ErrorLog()
    logging.getLogger().addHandler(error_log)
    await place_database(folder / "easel.db")
    try:
        async with open_stage(folder / "easel.db", picture_processes=SHARED) as stage:
            stage.fal.queue_seconds, stage.fal.run_seconds = 0.0, 0.02
            yield stage
            errors = [
                error for error in stage.env.errors if not isinstance(getattr(error, "original", error), Refused)
            ]
    finally:
        logging.getLogger().removeHandler(error_log)
    if errors:
        raise BaseExceptionGroup("Easel raised", errors)
    unexpected = [message for message in error_log.messages if not any(text in message for text in expected)]
    if unexpected:
        raise AssertionError("\n".join(unexpected))


def picture_file(prompt: str = "a cottage", side: int = 64) -> bytes:
    """A square PNG for a member to upload."""
    return painter.painted(prompt, (side, side))


def private_reply(result: simcord.InteractionResult) -> str:
    """The text that the member alone sees: the initial response or, where there is none, the latest follow-up."""
    reply = result.response or result.followups[-1]
    if not reply.ephemeral:
        raise AssertionError(f"everybody sees: {reply.content}")
    return reply.content


async def private_followup(stage: Stage, result: simcord.InteractionResult) -> str:
    """Wait for the job to end and return the follow-up that the member alone sees."""
    await stage.until(lambda: result.followups)
    await stage.idle()
    followup = result.followups[-1]
    if not followup.ephemeral:
        raise AssertionError(f"everybody sees: {followup.content}")
    return followup.content


@dataclass(frozen=True)
class Quota:
    """The answer to `/quota`, parsed."""

    left: int
    spent: int
    reserved: int
    granted: int
    limit: str
    starts_anew: str


async def quota(stage: Stage, member: simcord.MemberActor) -> Quota:
    """Have a member type `/quota`."""
    result = await member.slash(stage.channel, "quota")
    if result.response is None or not result.ephemeral:
        raise AssertionError("an allowance is for its member alone")
    embed = result.response.embeds[0]
    field = {item.name: item.value or "" for item in embed.fields}
    return Quota(
        left=int((embed.title or "").split()[0]),
        spent=int(field["Spent"]),
        reserved=int(field["Reserved"]),
        granted=int(field.get("Granted", "0").split(",")[0]),
        limit=field["Limit"],
        starts_anew=field.get("Starts anew", ""),
    )


async def imagine(
    stage: Stage, member: simcord.MemberActor, prompt: str = "a fox", **options: object
) -> discord.Message:
    """Have a member type `/imagine`; returns the result once its job has ended."""
    before = len(stage.pictures())
    await member.slash(stage.channel, "imagine", prompt=prompt, **options)
    return await stage.picture(before + 1)


async def job(stage: Stage, message: discord.Message) -> Job:
    """The job of a result."""
    return await stage.app.members.job(job_of(message))


def notified(stage: Stage, message: discord.Message) -> set[int]:
    """The ids of the users whom a message notified."""
    return set(stage.env.backend.get_message(message.channel.id, message.id).ping_user_ids)
