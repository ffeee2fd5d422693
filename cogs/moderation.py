"""`/moderate`: limits, grants and the order of the services, for members with Manage Server."""

from __future__ import annotations

from typing import Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.chat.discord.client import Easel, Interaction
from bot.chat.discord.convert import requester, requester_of
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.limits import grant_text, limit_cleared_text, limit_set_text, limits_text
from bot.chat.discord.messages.provider_table import provider_order_text, provider_table
from bot.domain.errors import InvalidInput, NotAllowed
from bot.domain.limits import Limit
from bot.domain.requests import Requester
from bot.domain.windows import Window
from bot.usecases.moderators import MOST_GRANTED, MOST_IMAGES
from cogs.options import MAX_CHOICES

Images = app_commands.Range[int, 0, MOST_IMAGES]
Granted = app_commands.Range[int, -MOST_GRANTED, MOST_GRANTED]


def check_moderator(interaction: Interaction) -> Requester:
    """The moderator behind an interaction. A server's settings may show the command to other members too.

    Raises:
        NotAllowed: the member lacks Manage Server.
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
) -> Limit:
    """The limit for a member, a role or, without either, everyone.

    Raises:
        InvalidInput: both a member and a role were given.
    """
    if member is not None and role is not None:
        raise InvalidInput("Give a member or a role, not both.")
    subject: Literal["member", "role", "everyone"] = "everyone"
    subject_id = 0
    if member is not None:
        subject, subject_id = "member", member.id
    elif role is not None and not role.is_default():
        subject, subject_id = "role", role.id
    return Limit(
        subject=subject, subject_id=subject_id, unit="images", window=per, amount=images, set_by=moderator.user_id
    )


def subject_of(moderator: Requester, member: discord.Member | None, role: discord.Role | None) -> Requester:
    """Whom a limit is for: the member or, in their place, somebody with the role alone, or with none."""
    if member is not None:
        return requester_of(member, moderator.channel_id)
    roles = () if role is None or role.is_default() else (role.id,)
    return Requester(user_id=0, guild_id=moderator.guild_id, channel_id=moderator.channel_id, role_ids=roles)


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class Moderation(commands.GroupCog, group_name="moderate", group_description="Who may paint how much."):
    """The group `/moderate`."""

    @app_commands.command()
    @app_commands.describe(
        images="How many pictures; 0 stops them all, granted ones too.",
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
        limit = limit_of(moderator, member, role, images, per)
        subject = subject_of(moderator, member, role)
        before = await interaction.client.services.moderators.set_limit(subject, limit)
        await _answer(interaction, limit_set_text(limit, before))

    @app_commands.command()
    @app_commands.describe(member="The member whose own limit goes.", role="The role whose limit goes.")
    async def clear(
        self,
        interaction: Interaction,
        member: discord.Member | None = None,
        role: discord.Role | None = None,
    ) -> None:
        """Remove the limit of a member, a role or all."""
        moderator = check_moderator(interaction)
        limit = limit_of(moderator, member, role)
        subject = subject_of(moderator, member, role)
        former, now = await interaction.client.services.moderators.clear_limit(subject, limit)
        await _answer(interaction, limit_cleared_text(former, now))

    @app_commands.command()
    async def limits(self, interaction: Interaction) -> None:
        """See every limit of this server."""
        moderator = check_moderator(interaction)
        limits = await interaction.client.services.moderators.limits(moderator.guild_id)
        await _answer(interaction, limits_text(limits))

    @app_commands.command()
    @app_commands.describe(
        member="Who gets them.",
        images="How many, on top of the limit; a negative number takes granted ones back.",
        reason="Why, for the record.",
    )
    async def grant(
        self,
        interaction: Interaction,
        member: discord.Member,
        images: Granted,
        reason: app_commands.Range[str, 1, 200],
    ) -> None:
        """Give a member pictures on top of their limit."""
        moderator = check_moderator(interaction)
        receiver = requester_of(member, moderator.channel_id)
        change, allowance = await interaction.client.services.moderators.grant(
            receiver, images, moderator.user_id, reason
        )
        await _answer(interaction, grant_text(member.id, change, allowance))

    @app_commands.command()
    async def services(self, interaction: Interaction) -> None:
        """See the models and who paints them."""
        moderator = check_moderator(interaction)
        moderators = interaction.client.services.moderators
        models = await moderators.model_providers(moderator.guild_id)
        await _answer(interaction, provider_table(models, moderators.notices()))

    @app_commands.command()
    @app_commands.describe(
        model="Which model.",
        services="Who is asked, in order, like: fal, lumenfall. Or off, or default.",
    )
    async def model(self, interaction: Interaction, model: str, services: app_commands.Range[str, 1, 100]) -> None:
        """Choose who paints a model, or switch it off."""
        moderator = check_moderator(interaction)
        moderators = interaction.client.services.moderators
        order, former = await moderators.set_provider_order(moderator.guild_id, model, services, moderator.user_id)
        catalog = interaction.client.services.catalog
        label = catalog.model(catalog.canonical(model)).label
        await _answer(interaction, provider_order_text(label, order, former, moderators.provider_labels))

    @model.autocomplete("model")
    async def models(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """The configured models whose label or name contains what was typed, also those switched off here."""
        typed = current.lower()
        models = await interaction.client.services.moderators.model_providers(interaction.guild_id or 0)
        return [
            app_commands.Choice(name=model.label, value=model.model)
            for model in models
            if typed in model.label.lower() or typed in model.model
        ][:MAX_CHOICES]

    @model.autocomplete("services")
    async def orders(self, interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        """The orders of the services that have the chosen model."""
        chosen = str(getattr(interaction.namespace, "model", ""))
        orders = interaction.client.services.moderators.provider_order_choices(chosen)
        return [app_commands.Choice(name=order, value=order) for order in orders if current.lower() in order][
            :MAX_CHOICES
        ]


async def _answer(interaction: Interaction, text: str) -> None:
    await interaction.response.send_message(text, ephemeral=True, allowed_mentions=NO_MENTIONS)


async def setup(client: Easel) -> None:
    """Add the cog; called by discord.py."""
    await client.add_cog(Moderation())
