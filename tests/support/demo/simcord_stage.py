"""Easel on the demo's stage, made quick, and strict about what nobody expected."""

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

PRIVATE = 64
"""The flag of a message that only one person sees."""


class ErrorLog(logging.Handler):
    """What was logged as an error; also the only trace of what discord.py drops in silence."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with its exception."""
        self.said.append(f"{record.name}: {record.getMessage()} {record.exc_info or ''}")


@asynccontextmanager
async def playing(folder: Path, *, expected: Sequence[str] = ()) -> AsyncIterator[Stage]:
    """A stage; fails in the end for every error that was recorded or logged and is not `expected`."""
    complaints = ErrorLog()
    logging.getLogger().addHandler(complaints)
    try:
        async with open_stage(folder / "easel.db") as stage:
            stage.fal.queue_seconds, stage.fal.run_seconds = 0.0, 0.02
            yield stage
            errors = [
                error for error in stage.env.errors if not isinstance(getattr(error, "original", error), Refused)
            ]
    finally:
        logging.getLogger().removeHandler(complaints)
    if errors:
        raise BaseExceptionGroup("Easel raised", errors)
    unexpected = [said for said in complaints.said if not any(text in said for text in expected)]
    if unexpected:
        raise AssertionError("\n".join(unexpected))


def picture_file(prompt: str = "a cottage", side: int = 64) -> bytes:
    """A square PNG that a member may upload."""
    return painter.painted(prompt, (side, side))


def private(result: simcord.InteractionResult) -> str:
    """What only the asker was told: the first answer, or what came after it."""
    answer = result.response or result.followups[-1]
    if not answer.ephemeral:
        raise AssertionError(f"everybody sees: {answer.content}")
    return answer.content


async def whisper(stage: Stage, result: simcord.InteractionResult) -> str:
    """What the asker was told privately after the card had been shown."""
    await stage.until(lambda: result.followups)
    await stage.idle()
    told = result.followups[-1]
    if not told.ephemeral:
        raise AssertionError(f"everybody sees: {told.content}")
    return told.content


@dataclass(frozen=True)
class Quota:
    """What `/quota` shows."""

    left: int
    spent: int
    reserved: int
    granted: int
    limit: str
    starts_anew: str


async def quota(stage: Stage, member: simcord.MemberActor) -> Quota:
    """Ask `/quota`."""
    result = await member.slash(stage.channel, "quota")
    if result.response is None or not result.ephemeral:
        raise AssertionError("nobody else may see an allowance")
    embed = result.response.embeds[0]
    field = {item.name: item.value or "" for item in embed.fields}
    return Quota(
        left=int((embed.title or "").split()[0]),
        spent=int(field["Spent"]),
        reserved=int(field["Reserved"]),
        granted=int(field.get("Granted", "0").split(",")[0]),
        limit=field["Limit"],
        starts_anew=field["Starts anew"],
    )


async def painted(
    stage: Stage, member: simcord.MemberActor, prompt: str = "a fox", **options: object
) -> discord.Message:
    """Let a member `/imagine` something; the message with the pictures."""
    before = len(stage.pictures())
    await member.slash(stage.channel, "imagine", prompt=prompt, **options)
    return await stage.picture(before + 1)


async def job(stage: Stage, message: discord.Message) -> Job:
    """The job behind a result."""
    return await stage.app.studio.job(job_of(message))


def pinged(stage: Stage, message: discord.Message) -> set[int]:
    """Whom a message notified."""
    return set(stage.env.backend.get_message(message.channel.id, message.id).ping_user_ids)
