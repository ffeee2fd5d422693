"""`/moderate`: who may spend how much. For members with Manage Server, which is checked here as well."""

from __future__ import annotations

from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot import screens
from bot.client import Easel, Interaction, requester, requester_of
from bot.errors import BadOrder, NotAllowed
from bot.models import Requester, Rule, Window
from bot.treasury import MOST_GRANTED, MOST_IMAGES

Images = app_commands.Range[int, 0, MOST_IMAGES]
Granted = app_commands.Range[int, -MOST_GRANTED, MOST_GRANTED]


def check_moderator(interaction: Interaction) -> Requester:
    """Discord hides the command from others, but servers can change that.

    Raises:
        NotAllowed: the person may not manage the server.
    """
    if not interaction.permissions.manage_guild:
        raise NotAllowed("You need the Manage Server permission for this.")
    return requester(interaction)


def limit_of(
    moderator: Requester,
    member: discord.Member | None,
    role: discord.Role | None,
    images: int = 0,
    per: Window = "day",
) -> Rule:
    """The limit that a moderator means.

    Raises:
        BadOrder: both a member and a role were given.
    """
    if member is not None and role is not None:
        raise BadOrder("Give a member or a role, not both.")
    kind: Literal["member", "role", "everyone"] = "everyone"
    subject_id = 0
    if member is not None:
        kind, subject_id = "member", member.id
    elif role is not None and not role.is_default():
        kind, subject_id = "role", role.id
    return Rule(
        subject=kind, subject_id=subject_id, unit="images", window=per, limit=images, set_by=moderator.user_id
    )


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class Moderation(commands.GroupCog, group_name="moderate", group_description="Who may paint how much."):
    """Limits and grants."""

    def __init__(self, client: Easel) -> None:
        self._client = client

    @app_commands.command()
    @app_commands.describe(
        images="How many pictures; 0 stops them.",
        per="In which time: it starts anew each day, week or month.",
        member="Only for this member.",
        role="Only for members with this role.",
    )
    async def limit(
        self,
        interaction: Interaction,
        images: Images,
        per: Window,
        member: discord.Member | None = None,
        role: discord.Role | None = None,
    ) -> None:
        """Set how many pictures may be painted."""
        moderator = check_moderator(interaction)
        rule = limit_of(moderator, member, role, images, per)
        former = await self._client.rooms.treasury.limit(moderator.guild_id, rule)
        await _answer(interaction, screens.limit_set(rule, former))

    @app_commands.command()
    @app_commands.describe(member="The member whose own limit goes.", role="The role whose limit goes.")
    async def clear(
        self,
        interaction: Interaction,
        member: discord.Member | None = None,
        role: discord.Role | None = None,
    ) -> None:
        """Remove a limit, so that the next wider one holds again."""
        moderator = check_moderator(interaction)
        rule = limit_of(moderator, member, role)
        former = await self._client.rooms.treasury.clear(moderator.guild_id, rule)
        await _answer(interaction, screens.limit_cleared(former))

    @app_commands.command()
    async def limits(self, interaction: Interaction) -> None:
        """See every limit of this server."""
        moderator = check_moderator(interaction)
        rules = await self._client.rooms.treasury.limits(moderator.guild_id)
        await _answer(interaction, screens.limits(rules))

    @app_commands.command()
    @app_commands.describe(
        member="Who gets them.",
        images="How many, beside the allowance; a negative number takes granted ones back.",
        reason="Why, for the record.",
    )
    async def grant(
        self,
        interaction: Interaction,
        member: discord.Member,
        images: Granted,
        reason: app_commands.Range[str, 1, 200],
    ) -> None:
        """Give a member pictures beside their allowance."""
        moderator = check_moderator(interaction)
        receiver = requester_of(member, moderator.channel_id)
        change, left = await self._client.rooms.treasury.grant(receiver, images, moderator.user_id, reason)
        await _answer(interaction, screens.granted(member.id, change, left))


async def _answer(interaction: Interaction, sentence: str) -> None:
    await interaction.response.send_message(sentence, ephemeral=True, allowed_mentions=screens.NOBODY)


async def setup(client: Easel) -> None:
    """Called by discord.py."""
    await client.add_cog(Moderation(client))
