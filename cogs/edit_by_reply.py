"""Edits by mention: "@Easel make it snow" as a reply to a picture, or with a picture attached.

Discord shows a bot the messages that mention it, so no message-content intent is needed. It counts a reply's
author as mentioned too, so only what is typed is taken for an edit: thanks for a picture are not.
"""

from __future__ import annotations

import logging
import re

import discord
from discord.ext import commands

from bot.chat.discord.client import Easel
from bot.chat.discord.convert import pictures_in, requester_of
from bot.chat.discord.error_replies import answer_reply_error
from bot.chat.discord.errors import DISCORD_ERRORS, error_kind
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.permissions import check_may_post, known_permissions, may_write
from bot.domain.errors import BadPrompt, BadSource
from bot.domain.requests import ImageRequest, ReplyAddress, Source
from cogs.requests import card_for

log = logging.getLogger(__name__)

PICTURE_NUMBER = re.compile(r"\s*#([0-9]{1,3})\b")


class Replies(commands.Cog):
    """Listens for messages that mention Easel; it has no command."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        """Take a message in which a member typed a mention of Easel for an edit."""
        bot = self._client.user
        if message.author.bot or bot is None or bot not in message.mentions:
            return
        if not isinstance(message.author, discord.Member):
            return
        mention = _typed_mention(bot, message.guild)
        if mention.search(message.content) is None:
            return
        permissions = known_permissions(message.channel, message.author)
        if permissions is not None and not may_write(message.author, permissions, message.channel):
            return  # they were muted since; a refusal would be a message of theirs
        try:
            await self._edit_by_reply(message, message.author, mention)
        except Exception as error:  # noqa: BLE001 - every error must be answered
            await answer_reply_error(self._client, message, error)

    async def _edit_by_reply(
        self, message: discord.Message, member: discord.Member, mention: re.Pattern[str]
    ) -> None:
        """Submit the edit and show its card as a reply.

        Raises:
            Refused: nothing was reserved.
        """
        number, prompt = _number_and_prompt(message.content, mention)
        sources, note = await self._sources(message, number)
        if not prompt:
            raise BadPrompt("Say what should change, for example: make it snow.")
        services = self._client.services
        edited = sources[0].message_id
        parent = await services.members.result(edited) if edited else None
        accepted = await services.members.submit(
            message.id,
            requester_of(member, message.channel.id),
            ImageRequest(prompt=prompt, model="", sources=sources),
            self._reply_address(message),
            parent.id if parent else None,
        )
        if not accepted.created:
            return
        card_id = await _send_card(message, card_for(accepted, services, note))
        await services.members.after_accept(accepted.job, card_id)

    def _reply_address(self, message: discord.Message) -> ReplyAddress:
        """Where the pictures of a reply's request go.

        Raises:
            NotAllowed: Easel may not post there.
        """
        permissions = known_permissions(message.channel, message.guild.me if message.guild else None)
        if permissions is not None:
            check_may_post(permissions, message.channel)
        return ReplyAddress(
            application_id=self._client.application_id or 0,
            channel_id=message.channel.id,
            event_id=message.id,
            file_limit=message.guild.filesize_limit if message.guild else 0,
        )

    async def _sources(self, message: discord.Message, number: int | None) -> tuple[tuple[Source, ...], str]:
        """The picture to edit, then those to borrow from, and a note where one of several was chosen.

        It is one of the message that was replied to, and what is attached goes with it; without a picture there,
        it is one of those that are attached.

        Raises:
            BadSource: Easel sees no picture, or not so many.
        """
        replied = await self._replied_to(message)
        pictures, attached = pictures_in(replied) if replied else [], pictures_in(message)
        if not pictures:
            pictures, attached = attached, []
        if not pictures and replied is not None:
            raise BadSource(
                "Easel cannot see a picture there. Hold or right-click the message, then Apps › Edit image."
            )
        if not pictures:
            raise BadSource(
                "Reply to a picture, or attach one, and say what should change. Or type /imagine to paint one."
            )
        chosen = 1 if number is None else number
        if not 1 <= chosen <= len(pictures):
            found = "There is 1 picture" if len(pictures) == 1 else f"There are {len(pictures)} pictures"
            raise BadSource(f"{found} there; #{chosen} is not one of them.")
        note = ""
        if len(pictures) > 1:
            note = f"Editing picture {chosen} of {len(pictures)}."
            if number is None:
                note += " Begin with #2 to choose the second."
        return (pictures[chosen - 1], *attached), note

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


def _typed_mention(bot: discord.ClientUser, guild: discord.Guild | None) -> re.Pattern[str]:
    """Matches a mention of Easel in a message: as Discord writes it, or its name after an @."""
    names = {bot.name, bot.display_name, *([guild.me.display_name] if guild and guild.me else [])}
    plain = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    return re.compile(rf"<@!?{bot.id}>|(?<![\w@])@(?:{plain})(?!\w)", re.IGNORECASE)


def _number_and_prompt(content: str, mention: re.Pattern[str]) -> tuple[int | None, str]:
    """The number and the rest of a message like `@Easel #2 make it snow`, without its mentions of Easel.

    The number stands at the beginning or behind a mention; None where there is none.
    """
    number: int | None = None
    parts: list[str] = []
    for part in mention.split(content):
        if number is None and (match := PICTURE_NUMBER.match(part)):
            number, part = int(match[1]), part[match.end() :]
        parts.append(part.strip())
    return number, " ".join(part for part in parts if part)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Replies(client))
