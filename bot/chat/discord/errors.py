"""What discord.py raises, and the codes of Discord's that Easel knows."""

from __future__ import annotations

import aiohttp
import discord

UNKNOWN_INTERACTION = 10062


NO_HISTORY = 160002


BAD_TOKEN = 4004
"""The gateway's close code."""


DISCORD_TROUBLE = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
"""What discord.py raises when Discord, or the way to it, does not do what it should."""


def failure_kind(failure: BaseException) -> str:
    """For the log: no message of a library's exception, which may hold a link."""
    return f"code {failure.code}" if isinstance(failure, discord.HTTPException) else type(failure).__name__
