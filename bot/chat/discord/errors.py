"""The errors of Discord's API that Easel handles by their code, and how any of them is written to the log."""

from __future__ import annotations

import aiohttp
import discord

DISCORD_ERRORS = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
"""Raised by discord.py when Discord refuses a request or cannot be reached."""

# Discord's docs, Opcodes and Status Codes.
BAD_TOKEN = 4004
"""A close code of the gateway; the others are JSON error codes."""
UNKNOWN_INTERACTION = 10062
FILE_TOO_LARGE = 40005
NO_READ_HISTORY = 160002
"""A reply needs the Read Message History permission."""
BLOCKED_BY_AUTOMOD = 200000


def error_kind(error: BaseException) -> str:
    """Discord's code or the error's class. The message of a library's error may hold a link, so it is left out."""
    return f"code {error.code}" if isinstance(error, discord.HTTPException) else type(error).__name__
