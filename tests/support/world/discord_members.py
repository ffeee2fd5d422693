"""What members do in Discord and what they see there, through Discord's stand-in."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import discord
from PIL import Image

from bot.sandbox.discord.server import DiscordSandbox, Upload
from tests.support.picture_files import png
from tests.support.waiting import wait_until

POST_MESSAGE = "POST /channels/{channel}/messages"
INTERACTION_CALLBACK = "POST /interactions/{interaction}/{token}/callback"
MANAGE_MESSAGES = discord.Permissions(manage_messages=True).value
MANAGE_GUILD = discord.Permissions(manage_guild=True).value
SEND_MESSAGES = discord.Permissions(send_messages=True).value
ATTACH_FILES = discord.Permissions(attach_files=True).value

Message = dict[str, Any]


@dataclass(frozen=True)
class Quota:
    """The reply to `/quota`."""

    left: int
    spent: int
    reserved: int


class DiscordMembers:
    """The members of one guild with one channel. `member` acts where no other member is named."""

    def __init__(self, discord_: DiscordSandbox) -> None:
        self.discord = discord_
        self.guild = self.channel = self.member = 0

    # What members do

    async def imagine(
        self, prompt: str = "a red boat", *, member: int = 0, channel: int = 0, **options: Any
    ) -> int:
        """`/imagine`; the interaction's id, which is the job's."""
        given = {"prompt": prompt, "quality": "low", **options}
        return await self.discord.slash(member or self.member, channel or self.channel, "imagine", given)

    async def edit(self, prompt: str = "make it snow", *, member: int = 0, **options: Any) -> int:
        """`/edit` of a small picture, if no other `image` is given."""
        given = {"prompt": prompt, "image": Upload("boat.png", png()), "quality": "low", **options}
        return await self.discord.slash(member or self.member, self.channel, "edit", given)

    async def press(self, message: Message, action: str, *, member: int = 0) -> int:
        """Click one of Easel's buttons: cancel, edit or delete."""
        return await self.discord.click(member or self.member, int(message["id"]), button_id(message, action))

    async def quota(self, member: int = 0) -> Quota:
        """`/quota`, and its reply."""
        interaction = await self.discord.slash(member or self.member, self.channel, "quota")
        answer = await self.discord.answer(interaction)
        assert answer["ephemeral"]
        [embed] = answer["data"]["embeds"]
        fields = {item["name"]: item["value"] for item in embed["fields"]}
        return Quota(int(embed["title"].split()[0]), int(fields["Spent"]), int(fields["Reserved"]))

    async def create_moderator(self, guild: int = 0) -> int:
        """A member with the Manage Server permission."""
        role = await self.discord.create_role(guild or self.guild, "moderators", permissions=MANAGE_GUILD)
        return await self.discord.create_member(guild or self.guild, "mika", roles=[role])

    async def moderate(self, member: int, command: str, channel: int = 0, **options: Any) -> str:
        """`/moderate …`, and its reply."""
        interaction = await self.discord.slash(member, channel or self.channel, f"moderate {command}", options)
        return await self.private_reply(interaction)

    # What members see

    async def private_reply(self, interaction: int) -> str:
        """The first response, seen by the member alone."""
        answer = await self.discord.answer(interaction)
        assert answer["ephemeral"], answer
        return str(answer["data"]["content"])

    async def refusal(self, interaction: int) -> str:
        """A private first response that ends with “Nothing was charged.”"""
        text = await self.private_reply(interaction)
        assert text.endswith("Nothing was charged."), text
        return text

    async def private_failure(self, interaction: int, within: float = 8.0) -> str:
        """The private follow-up after the card, which ends with “Nothing was charged.”"""
        found = self.discord.world.interactions[interaction]
        await wait_until(lambda: found.followups or None, within)
        text = str((await self.discord.ephemeral(interaction))[-1]["content"])
        assert text.endswith("Nothing was charged."), text
        return text

    async def card(self, interaction: int) -> Message:
        """The public first response: the progress card."""
        answer = await self.discord.answer(interaction)
        assert not answer["ephemeral"], answer
        return next(
            message
            for message in await self.discord.messages(self.channel, deleted=True)
            if message["id"] == str(answer["message"])
        )

    async def result_message(self, job: int, *, channel: int = 0, within: float = 10.0) -> Message:
        """The message with a job's pictures, once it is posted."""
        return await self.discord.wait_for_message(
            channel or self.channel, lambda message: _is_result(message, job), within=within
        )

    async def result_messages(self, channel: int = 0) -> list[Message]:
        """The bot's messages with pictures that are now in a channel."""
        found = await self.discord.messages(channel or self.channel)
        bot = str(self.discord.bot_id)
        return [message for message in found if message["attachments"] and message["author"]["id"] == bot]

    async def download_pictures(self, message: Message) -> list[Image.Image]:
        """The pictures of a message."""
        contents = [await self.discord.file(int(attachment["id"])) for attachment in message["attachments"]]
        return [Image.open(io.BytesIO(content)) for content in contents]

    async def reply_to(self, message: int) -> Message:
        """The bot's reply to a message."""
        return await self.discord.wait_for_message(
            self.channel, lambda seen: seen.get("message_reference", {}).get("message_id") == str(message)
        )

    async def wait_deleted(self, message: str, within: float = 5.0) -> None:
        """Until a message is no longer in the channel."""
        await self.discord.wait_for_messages(
            self.channel, lambda seen: all(other["id"] != message for other in seen), within=within
        )

    async def wait_card_deleted(self, interaction: int, within: float = 5.0) -> None:
        """Until the progress card is no longer in the channel."""
        await self.wait_deleted(str((await self.discord.answer(interaction))["message"]), within)


def button_id(message: Message, action: str) -> str:
    """The custom id of one of a message's buttons."""
    [row] = message["components"]
    return next(str(item["custom_id"]) for item in row["components"] if f":{action}:" in item["custom_id"])


def _is_result(message: Message, job: int) -> bool:
    names = [attachment["filename"].removeprefix("SPOILER_") for attachment in message["attachments"]]
    return bool(names) and names[0].startswith(f"easel-{job}-")
