"""Edits by reply: "@Easel make it snow" under a picture. A message has nothing private, so its refusals are short.

Works without the message-content intent, since Discord shows the bot what mentions it.
"""

from __future__ import annotations

import logging
import re

import discord
from discord.ext import commands

from bot.chat.discord.client import Easel
from bot.chat.discord.convert import check_may_post, pictures_in, requester_of
from bot.chat.discord.error_replies import answer_reply_error
from bot.chat.discord.errors import DISCORD_TROUBLE, failure_kind
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.messages.progress import accepted_message
from bot.domain.errors import BadPrompt, BadSource
from bot.domain.jobs import AcceptedJob
from bot.domain.requests import ImageRequest, ReplyAddress, Source

log = logging.getLogger(__name__)

NUMBERED = re.compile(r"#([1-9]\d?)\b\s*")


class Replies(commands.Cog):
    """Listens for replies that mention Easel."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """A reply to a picture that mentions Easel is an edit."""
        me = self._client.user
        if message.author.bot or me is None or me not in message.mentions:
            return
        if not isinstance(message.author, discord.Member) or not message.content:
            return
        try:
            await self._edit_by_reply(message, message.author, me.id)
        except Exception as error:  # noqa: BLE001 - the one place that answers what went wrong
            await answer_reply_error(self._client, message, error)

    async def _edit_by_reply(self, message: discord.Message, member: discord.Member, me: int) -> None:
        """Find out what is meant, hand it to the studio, and show the card as a reply."""
        pictures = await self._pictures(message)
        number, prompt = _numbered(re.sub(rf"<@!?{me}>", "", message.content).strip())
        if number > len(pictures):
            there = "There is 1 picture" if len(pictures) == 1 else f"There are {len(pictures)} pictures"
            raise BadSource(f"{there} there; #{number} is not one of them.")
        if not prompt:
            raise BadPrompt("Say what should change, for example: make it snow.")
        picture = pictures[number - 1]
        rooms = self._client.rooms
        parent = await rooms.studio.result(picture.message_id) if picture.message_id else None
        request = ImageRequest(prompt=prompt, model="", sources=(picture,))
        accepted = await rooms.studio.submit(
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
        await self._show_card(message, accepted, note)

    async def _show_card(self, message: discord.Message, accepted: AcceptedJob, note: str) -> None:
        rooms, job = self._client.rooms, accepted.job
        label = rooms.catalog.model(job.request.model).label
        card = accepted_message(accepted, label, note)
        card_id = await _reply_card(message, card)
        await rooms.studio.after_accept(job, card_id)

    def _reply_address(self, message: discord.Message) -> ReplyAddress:
        """Where the pictures go.

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
        """What hangs on the message that is replied to.

        Raises:
            BadSource: nothing, or nothing that Easel can see.
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


async def _reply_card(message: discord.Message, card: MessageContent) -> int | None:
    """Show the card as a reply, its id; the job goes on without. The nonce makes the second try harmless."""
    for _ in range(2):
        try:
            sent = await message.reply(
                card.content,
                view=card.view or discord.utils.MISSING,
                nonce=f"card{message.id}",
                allowed_mentions=NO_MENTIONS,
            )
        except DISCORD_TROUBLE as error:
            log.info("job %d: its card was not taken by Discord: %s", message.id, failure_kind(error))
        else:
            return sent.id
    return None


def _numbered(prompt: str) -> tuple[int, str]:
    """`#2 make it snow` is about the second picture."""
    match = NUMBERED.match(prompt)
    return (int(match[1]), prompt[match.end() :]) if match else (1, prompt)


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Replies(client))
