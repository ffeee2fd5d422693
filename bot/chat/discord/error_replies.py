"""Tells members what went wrong in a command, a menu, a button, a form or a reply.

`answer_error` answers interactions, `answer_reply_error` messages, which have no private answer. Both log an
error that Easel does not expect and give the member its code in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.chat.discord.errors import DISCORD_ERRORS, UNKNOWN_INTERACTION, error_kind
from bot.chat.discord.messages.refusals import NOTHING_CHARGED, refusal_text
from bot.domain.errors import Bug, EaselError

if TYPE_CHECKING:
    from bot.chat.discord.client import Easel, Interaction

log = logging.getLogger(__name__)


async def answer_error(interaction: Interaction, error: BaseException) -> None:
    """Answer an interaction privately with what went wrong. Never raises."""
    if interaction.client.is_closed():
        return
    text = _error_text(error, interaction.id)
    if text is None:
        return
    try:
        if interaction.response.is_done():
            await interaction.followup.send(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except DISCORD_ERRORS as failure:
        # Also where Discord delivered an interaction twice and the other copy was answered.
        log.info("Discord did not take an answer: %s", error_kind(failure))


async def answer_reply_error(client: Easel, message: discord.Message, error: BaseException) -> None:
    """Reply publicly to a message with what went wrong, or react to it. Never raises."""
    text = _error_text(error, message.id)
    if text is None:
        return
    try:
        await client.refusals.refuse(message, text)
    except DISCORD_ERRORS as failure:
        log.info("Discord did not take a reply: %s", error_kind(failure))


async def answer_errors(interaction: Interaction, work: Callable[[], Awaitable[None]]) -> None:
    """Run a button's or a form's work and answer its errors, which reach no handler of discord.py's."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - every error must be answered
        await answer_error(interaction, error)


def _error_text(error: BaseException, event_id: int) -> str | None:
    """What the member reads; None where Discord takes no answer any more."""
    if isinstance(error, EaselError):
        return refusal_text(error)
    if isinstance(error, discord.NotFound) and error.code == UNKNOWN_INTERACTION:
        log.warning("Discord did not wait for the answer to %d", event_id)
        return None
    if isinstance(error, app_commands.CommandSignatureMismatch):
        return "This command has just changed. Restart Discord and try again."
    if isinstance(error, app_commands.TransformerError):
        return f"“{str(error.value)[:60]}” is not something that Easel understands here. {NOTHING_CHARGED}"
    if isinstance(error, DISCORD_ERRORS):
        log.warning("a request to Discord for %d failed: %s", event_id, error_kind(error))
        return f"Discord did not do what Easel asked of it. Try again in a moment. {NOTHING_CHARGED}"
    bug = Bug(event_id)
    log.error("unexpected %s (code %s)", type(error).__name__, bug.code, exc_info=error)
    return refusal_text(bug)
