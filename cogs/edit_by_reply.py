"""Edits by reply: "@Easel make it snow" below a picture.

Discord shows a bot the messages that mention it, so no message-content intent is needed.
"""

from __future__ import annotations

import logging
import re

import discord
from discord.ext import commands

from bot.chat.discord.client import Easel
from bot.chat.discord.convert import check_may_post, pictures_in, requester_of
from bot.chat.discord.error_replies import answer_reply_error
from bot.chat.discord.errors import DISCORD_ERRORS, error_kind
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.domain.errors import BadPrompt, BadSource
from bot.domain.requests import ImageRequest, ReplyAddress, Source
from cogs.requests import card_for

log = logging.getLogger(__name__)

PICTURE_NUMBER = re.compile(r"#([1-9]\d?)\b\s*")


class Replies(commands.Cog):
    """Listens for replies that mention Easel; it has no command."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Take a message that mentions Easel for an edit of the picture that it replies to."""
        bot = self._client.user
        if message.author.bot or bot is None or bot not in message.mentions:
            return
        if not isinstance(message.author, discord.Member) or not message.content:
            return
        try:
            await self._edit_by_reply(message, message.author, bot.id)
        except Exception as error:  # noqa: BLE001 - every error must be answered
            await answer_reply_error(self._client, message, error)

    async def _edit_by_reply(self, message: discord.Message, member: discord.Member, bot_id: int) -> None:
        """Submit the edit and show its card as a reply.

        Raises:
            Refused: nothing was reserved.
        """
        pictures = await self._pictures(message)
        number, prompt = _split_number(re.sub(rf"<@!?{bot_id}>", "", message.content).strip())
        if number > len(pictures):
            found = "There is 1 picture" if len(pictures) == 1 else f"There are {len(pictures)} pictures"
            raise BadSource(f"{found} there; #{number} is not one of them.")
        if not prompt:
            raise BadPrompt("Say what should change, for example: make it snow.")
        picture = pictures[number - 1]
        services = self._client.services
        parent = await services.members.result(picture.message_id) if picture.message_id else None
        request = ImageRequest(prompt=prompt, model="", sources=(picture,))
        accepted = await services.members.submit(
            message.id,
            requester_of(member, message.channel.id),
            request,
            self._reply_address(message),
            parent.id if parent else None,
        )
        if not accepted.created:
            return
        note = ""
        if len(pictures) > 1:
            note = f"Editing picture {number} of {len(pictures)}."
            if number == 1:
                note += " Begin with #2 to choose the second."
        card_id = await _send_card(message, card_for(accepted, services, note))
        await services.members.after_accept(accepted.job, card_id)

    def _reply_address(self, message: discord.Message) -> ReplyAddress:
        """Where the pictures of a reply's request go.

        Raises:
            NotAllowed: Easel may not post there.
        """
        if message.guild is not None:
            check_may_post(message.channel.permissions_for(message.guild.me), message.channel)
        return ReplyAddress(
            application_id=self._client.application_id or 0,
            channel_id=message.channel.id,
            file_limit=message.guild.filesize_limit if message.guild else 0,
        )

    async def _pictures(self, message: discord.Message) -> list[Source]:
        """The pictures of the message that was replied to.

        Raises:
            BadSource: there is no such message, or Easel sees no picture in it.
        """
        replied = await self._replied_to(message)
        if replied is None:
            raise BadSource("Reply to a picture and say what should change, or type /imagine to paint one.")
        pictures = pictures_in(replied)
        if not pictures:
            raise BadSource(
                "Easel cannot see a picture there. Hold or right-click the message, then Apps › Edit image."
            )
        return pictures

    async def _replied_to(self, message: discord.Message) -> discord.Message | None:
        reference = message.reference
        if reference is None or reference.message_id is None:
            return None
        if isinstance(reference.resolved, discord.Message):
            return reference.resolved
        try:
            return await message.channel.fetch_message(reference.message_id)
        except discord.HTTPException:
            return None


async def _send_card(message: discord.Message, card: MessageContent) -> int | None:
    """Reply with the card; returns its id, or None where it cannot be shown. The job goes on either way.

    The nonce makes the second attempt harmless.
    """
    for _ in range(2):
        try:
            sent = await message.reply(
                card.content,
                view=card.view or discord.utils.MISSING,
                nonce=f"card{message.id}",
                allowed_mentions=NO_MENTIONS,
            )
        except DISCORD_ERRORS as error:
            log.info("job %d: Discord did not take its card: %s", message.id, error_kind(error))
        else:
            return sent.id
    return None


def _split_number(prompt: str) -> tuple[int, str]:
    """The number and the rest of a prompt like `#2 make it snow`; 1 where it has no number."""
    match = PICTURE_NUMBER.match(prompt)
    return (int(match[1]), prompt[match.end() :]) if match else (1, prompt)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Replies(client))
