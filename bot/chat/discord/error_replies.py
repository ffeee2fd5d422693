"""The one place that answers what went wrong in commands.

Menus, buttons, modals and replies come here as well: `answer_error` for interactions, `answer_reply_error`
for messages, which have no private way.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import discord
from discord import app_commands

from bot.chat.discord.errors import DISCORD_TROUBLE, NO_HISTORY, UNKNOWN_INTERACTION, failure_kind
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.refusals import refusal_text
from bot.domain.errors import EaselError

if TYPE_CHECKING:  # the client answers errors with what is here
    from bot.chat.discord.client import Easel, Interaction

log = logging.getLogger(__name__)


async def answer_error(interaction: Interaction, error: BaseException) -> None:
    """Tell the asker, and only the asker, what went wrong. Never raises."""
    if interaction.client.is_closed():
        return
    sentence = _sentence(error, interaction.id)
    if sentence is None:
        return
    try:
        if interaction.response.is_done():
            await interaction.followup.send(sentence, ephemeral=True)
        else:
            await interaction.response.send_message(sentence, ephemeral=True)
    except DISCORD_TROUBLE as failure:
        # Also where Discord delivered an interaction twice: its other copy was answered.
        log.info("an answer was not taken by Discord: %s", failure_kind(failure))


async def answer_reply_error(client: Easel, message: discord.Message, error: BaseException) -> None:
    """A message has nothing private: a short public reply that removes itself. Never raises."""
    sentence = _sentence(error, message.id)
    if sentence is None:
        return
    seconds = client.reply_refusal_seconds
    try:
        try:
            await message.reply(sentence, delete_after=seconds, allowed_mentions=NO_MENTIONS)
        except discord.HTTPException as failure:
            if failure.code != NO_HISTORY:
                raise
            # Where Easel may not read what was said, it may not answer it either, only speak.
            await message.channel.send(sentence, delete_after=seconds, allowed_mentions=NO_MENTIONS)
    except DISCORD_TROUBLE as failure:
        log.info("a reply was not taken by Discord: %s", failure_kind(failure))


def _sentence(error: BaseException, event_id: int) -> str | None:
    """The member's sentence; None where nobody is left to hear it."""
    if isinstance(error, EaselError):
        return refusal_text(error)
    if isinstance(error, discord.NotFound) and error.code == UNKNOWN_INTERACTION:
        log.warning("Discord did not wait for the answer to %d", event_id)
        return None
    if isinstance(error, app_commands.CommandSignatureMismatch):
        return "This command has just changed. Restart Discord and try again."
    if isinstance(error, app_commands.TransformerError):
        return f"“{str(error.value)[:60]}” is not something that Easel understands here. Nothing was charged."
    if isinstance(error, DISCORD_TROUBLE):
        log.warning("Discord did not do what %d needed: %s", event_id, failure_kind(error))
        return "Discord did not do what Easel asked of it. Try again in a moment. Nothing was charged."
    code = f"{event_id % 1_000_000:06d}"
    log.error("unexpected %s (code %s)", type(error).__name__, code, exc_info=error)
    return f"Something went wrong on our side (code {code}). Nothing was charged."


async def answering(interaction: Interaction, work: Callable[[], Awaitable[None]]) -> None:
    """Run a button's or a form's work; their errors reach no handler of discord.py's."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - the one place that answers what went wrong
        await answer_error(interaction, error)
