"""A request from a command or a form: handed in, and its card shown."""

from __future__ import annotations

import logging

import discord

from bot.chat.discord.client import Interaction
from bot.chat.discord.convert import reply_address, requester
from bot.chat.discord.errors import DISCORD_TROUBLE, failure_kind
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.messages.progress import accepted_message
from bot.domain.requests import ImageRequest

log = logging.getLogger(__name__)


async def submit(interaction: Interaction, request: ImageRequest, parent_id: int | None = None) -> None:
    """Hand a request to the studio and give the first answer: the card, before anything slow."""
    rooms = interaction.client.rooms
    accepted = await rooms.studio.submit(
        interaction.id, requester(interaction), request, reply_address(interaction), parent_id
    )
    if not accepted.created:
        return
    label = rooms.catalog.model(accepted.job.request.model).label
    card = accepted_message(accepted, label)
    card_id = await _show_card(interaction, card)
    await rooms.studio.after_accept(accepted.job, card_id)


async def _show_card(interaction: Interaction, card: MessageContent) -> int | None:
    """The first answer; the card's id. The job is written down and goes on, also where no card can be shown."""
    try:
        answer = await interaction.response.send_message(
            card.content, view=card.view or discord.utils.MISSING, allowed_mentions=NO_MENTIONS
        )
    except DISCORD_TROUBLE as error:
        log.info("job %d: its card was not taken by Discord: %s", interaction.id, failure_kind(error))
    else:
        return answer.message_id
    try:  # it may have been shown all the same
        return (await interaction.original_response()).id
    except (*DISCORD_TROUBLE, discord.ClientException):
        return None
