"""discord.py: the client and its command tree."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass
from typing import Any

import discord
import yarl
from discord import app_commands
from discord.ext import commands
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.chat.discord.error_replies import answer_error
from bot.chat.discord.errors import BAD_TOKEN
from bot.domain.errors import DiscordBusy, SetupError
from bot.ports import Database
from bot.storage import notes
from bot.usecases.members import MemberService
from bot.usecases.moderators import ModeratorService

log = logging.getLogger(__name__)

COGS = (
    "cogs.imagine",
    "cogs.edit",
    "cogs.edit_form",
    "cogs.edit_by_reply",
    "cogs.jobs",
    "cogs.quota",
    "cogs.moderation",
)

PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)
"""Exactly what Easel needs; the invite link asks for these."""
TOKEN_REFUSED = "DISCORD_TOKEN is refused by Discord. Copy it anew from the developer portal."  # noqa: S105
GATEWAY_PAUSE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What cogs may use."""

    studio: MemberService
    treasury: ModeratorService
    catalog: Catalog


def redirect(api_url: str, gateway_url: str) -> None:
    """Point discord.py, the whole library, at other addresses than Discord's own."""
    discord.http.Route.BASE = api_url.rstrip("/")
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)


def invite_link(application_id: int) -> str:
    """Adds Easel to a server with exactly the permissions that it needs."""
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )


async def log_in(client: Easel, token: SecretStr) -> None:
    """Introduce the bot to Discord; loads the cogs and syncs the commands.

    Raises:
        SetupError: Discord does not know the token.
        DiscordBusy: Discord has trouble, or does not take the commands.
    """
    try:
        await client.login(token.get_secret_value())
    except discord.LoginFailure:
        raise SetupError(TOKEN_REFUSED) from None
    except discord.HTTPException as error:
        raise DiscordBusy(f"Discord answered {error.status} (code {error.code}) at the start.") from None


async def stay_connected(client: Easel) -> None:
    """Be at the gateway, through every interruption, until the client is closed.

    Raises:
        SetupError: Discord will not have this bot any more.
    """
    try:
        await _connect(client)
    except discord.ConnectionClosed as error:
        if error.code == BAD_TOKEN:
            raise SetupError(TOKEN_REFUSED) from None
        raise SetupError(f"Discord closed the gateway for good (code {error.code}).") from None
    except discord.PrivilegedIntentsRequired:
        raise SetupError("Discord does not give this bot the intents it asks for.") from None


async def _connect(client: Easel) -> None:
    """discord.py reconnects by itself, except where it has never reached the gateway at all."""
    while True:
        try:
            return await client.connect()
        except AttributeError:
            # discord.py 2.7.1 then looks for the sequence of a connection that there has not been.
            if getattr(client, "ws", None) is not None:
                raise
            log.warning("Discord's gateway does not answer; trying again in %.0f s", GATEWAY_PAUSE)
            await asyncio.sleep(GATEWAY_PAUSE)


class Tree(app_commands.CommandTree["Easel"]):
    """Sends every command's error to `answer_error`."""

    async def on_error(self, interaction: discord.Interaction[Easel], error: app_commands.AppCommandError) -> None:
        """Unwrap what discord.py wrapped."""
        await answer_error(interaction, getattr(error, "original", error))


class Easel(commands.Bot):
    """The bot at the gateway. `rooms` are set by `app.py` before it logs in."""

    rooms: Services
    reply_refusal_seconds: float = 30
    """How long a refusal stands where only a public reply is possible."""

    def __init__(self, *, database: Database) -> None:
        # Easel never joins a voice channel; what that would need is not missing.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        super().__init__(
            command_prefix=(),
            help_command=None,
            tree_cls=Tree,
            intents=discord.Intents(guilds=True, guild_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._database = database

    async def setup_hook(self) -> None:
        """Load the cogs and tell Discord the commands, if they changed since the last start."""
        for name in COGS:
            if name not in self.extensions:
                await self.load_extension(name)
        await self._sync_commands()

    async def on_message(self, message: discord.Message, /) -> None:
        """Easel has no prefix commands; `cogs/edit_by_reply.py` listens for replies."""

    async def on_ready(self) -> None:
        """Say where the bot stands."""
        log.info("ready as %s in %d servers", self.user, len(self.guilds))

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """A bug in a listener. Its message may hold a link, so only its place is written."""
        log.exception("unexpected error in %s", event_method)

    async def _sync_commands(self) -> None:
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        text = json.dumps(payload, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        name = f"commands of {self.application_id}"
        if await self._database.read(notes.note(name)) == digest:
            return
        await self.tree.sync()
        await self._database.write(notes.write_note(name, digest))
        log.info("told Discord about %d commands", len(payload))


Interaction = discord.Interaction[Easel]
