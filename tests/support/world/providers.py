"""What tests with several services look at: who was asked how often, what is noted, and a clock that jumps."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from bot.domain.clock import Clock, real_time
from tests.support.world.world import MANAGE_GUILD, QUICK, Message, World

MODEL = "gpt-image-1.5"
PATIENT = replace(QUICK, submit=180)
"""Gives no job up only because no service takes it."""


class AdjustableClock:
    """A clock that can be put forward, and may stand still."""

    def __init__(self, *, still: bool = False) -> None:
        self._began = real_time()
        self._still = still
        self._ahead = 0

    def jump(self, seconds: float) -> None:
        """Put it forward."""
        self._ahead += int(seconds * 1000)

    @property
    def clock(self) -> Clock:
        """For the bot; Discord's own stays real."""
        return Clock(now=lambda: (self._began if self._still else real_time()) + self._ahead)


def first(*services: str) -> str:
    """SERVICE_ORDER that asks these services, in this order."""
    return f"{MODEL}={','.join(services)}"


def asked(house: World) -> tuple[int, int, int]:
    """How often pictures were asked for at fal, Lumenfall and Oxen, taken or not."""
    return house.fal.submits, house.lumenfall.submits, house.oxen.submits


def notes(house: World, job: int) -> list[str]:
    """What is noted for the operator."""
    return [
        str(row["reason"])
        for row in house.rows("SELECT reason FROM ledger WHERE job_id = ? AND entry = 'adjust'", job)
    ]


def tickets(house: World, job: int) -> list[dict[str, Any]]:
    """What a running job holds; nothing while it is not written down."""
    rows = house.rows("SELECT ticket FROM jobs WHERE id = ? AND ticket IS NOT NULL", job)
    found: list[dict[str, Any]] = json.loads(rows[0]["ticket"]) if rows else []
    return found


def micros(house: World, job: int, entry: str) -> int:
    """Micro-dollars of one kind of a job's ledger entries."""
    sql = "SELECT COALESCE(SUM(micros), 0) AS micros FROM ledger WHERE job_id = ? AND entry = ?"
    return int(house.rows(sql, job, entry)[0]["micros"])


def errors(records: Sequence[logging.LogRecord]) -> list[str]:
    """What an operator is shown in red."""
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]


async def shown(house: World, message: Message) -> list[Image.Image]:
    """The pictures of a message, as they can be downloaded."""
    contents = [await house.discord.file(int(attachment["id"])) for attachment in message["attachments"]]
    return [Image.open(io.BytesIO(content)) for content in contents]


async def moderator(house: World, guild: int = 0) -> int:
    """Somebody who may manage a server."""
    role = await house.discord.create_role(guild or house.guild, "moderators", permissions=MANAGE_GUILD)
    return await house.discord.create_member(guild or house.guild, "mika", roles=[role])


async def moderate(house: World, who: int, verb: str, channel: int = 0, **options: Any) -> str:
    """`/moderate …`; what is said privately."""
    return await house.said(await house.discord.slash(who, channel or house.channel, f"moderate {verb}", options))
