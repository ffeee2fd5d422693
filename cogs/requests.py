"""Submits a request and shows its card: shared by `/imagine`, `/edit`, the edit form and replies."""

from __future__ import annotations

import logging

import discord

from bot.chat.discord.client import Interaction, Services
from bot.chat.discord.convert import reply_address, requester
from bot.chat.discord.errors import DISCORD_ERRORS, error_kind
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.messages.progress import accepted_message
from bot.domain.errors import BadSource
from bot.domain.forms import Form
from bot.domain.jobs import AcceptedJob
from bot.domain.requests import ImageRequest
from bot.usecases.members import SUBMITTED_BEFORE

log = logging.getLogger(__name__)


async def submit(interaction: Interaction, request: ImageRequest, form: Form | None = None) -> None:
    """Submit a request and answer with its card, before anything slow.

    Its job has the id of the interaction or, where a form was submitted, of the one that opened the form, so that
    a form becomes one job in whichever process it is submitted.

    Raises:
        Refused: nothing was reserved.
    """
    services, member, reply = interaction.client.services, requester(interaction), reply_address(interaction)
    job_id, parent_id = (form.id, form.parent_id) if form else (interaction.id, None)
    accepted = await services.members.submit(job_id, member, request, reply, parent_id)
    if accepted.created:
        card_id = await _send_card(interaction, card_for(accepted, services))
        await services.members.after_accept(accepted.job, card_id)
        if form is not None:
            await services.members.close_form(form)
    elif accepted.job.reply.event_id != interaction.id:  # not the same interaction, delivered twice
        raise BadSource(SUBMITTED_BEFORE)


async def retry(interaction: Interaction, failed_id: int) -> None:
    """Ask for a failed job's request again with the model that was offered, and answer with the new job's card.

    Raises:
        Refused: nothing was reserved.
    """
    services, member, reply = interaction.client.services, requester(interaction), reply_address(interaction)
    accepted = await services.members.retry(interaction.id, failed_id, member, reply)
    if accepted.created:
        card_id = await _send_card(interaction, card_for(accepted, services))
        await services.members.after_accept(accepted.job, card_id, uploads_stored=True)


def card_for(accepted: AcceptedJob, services: Services, note: str = "") -> MessageContent:
    """The first card of an accepted job."""
    return accepted_message(accepted, services.catalog.model(accepted.job.request.model).label, note)


async def _send_card(interaction: Interaction, card: MessageContent) -> int | None:
    """Answer with the card; returns its id, or None where it cannot be shown. The job goes on either way."""
    try:
        answer = await interaction.response.send_message(
            card.content, view=card.view or discord.utils.MISSING, allowed_mentions=NO_MENTIONS
        )
    except DISCORD_ERRORS as error:
        log.info("Discord did not take the card for %d: %s", interaction.id, error_kind(error))
    else:
        return answer.message_id
    try:  # the card may have been shown all the same
        return (await interaction.original_response()).id
    except (*DISCORD_ERRORS, discord.ClientException):
        return None
