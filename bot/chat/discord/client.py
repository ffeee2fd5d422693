"""discord.py's client: how Easel logs in, loads its cogs, syncs its commands and stays at the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import logging
import pkgutil
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.ext import commands
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.chat.discord.error_replies import answer_error
from bot.chat.discord.errors import BAD_TOKEN
from bot.chat.discord.public_refusals import PublicRefusals
from bot.domain.errors import DiscordBusy, SetupError
from bot.ports import Database
from bot.storage import notes
from bot.usecases.members import MemberService
from bot.usecases.moderators import ModeratorService

log = logging.getLogger(__name__)

PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)
"""All that Easel needs; the invite link asks for these."""

TOKEN_REFUSED = "DISCORD_TOKEN is refused by Discord. Copy it anew from the developer portal."  # noqa: S105
GATEWAY_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The use cases and the catalogue, for cogs."""

    members: MemberService
    moderators: ModeratorService
    catalog: Catalog


def redirect(api_url: str, gateway_url: str) -> None:
    """Make discord.py, for the whole process, call other addresses than Discord's own."""
    discord.http.Route.BASE = api_url.rstrip("/")
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)


def cog_modules() -> list[str]:
    """The names of the modules in `cogs/` that have a `setup`, which are all loaded."""
    names = [f"cogs.{module.name}" for module in pkgutil.iter_modules(importlib.import_module("cogs").__path__)]
    return [name for name in sorted(names) if hasattr(importlib.import_module(name), "setup")]


def invite_link(application_id: int) -> str:
    """The link that adds Easel to a server with `PERMISSIONS`."""
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )


async def log_in(client: Easel, token: SecretStr) -> None:
    """Log in over HTTP; this also loads the cogs and syncs the commands.

    Raises:
        SetupError: Discord refuses the token.
        DiscordBusy: Discord cannot be reached, or does not take the commands.
    """
    try:
        await client.login(token.get_secret_value())
    except discord.LoginFailure:
        raise SetupError(TOKEN_REFUSED) from None
    except discord.HTTPException as error:
        raise DiscordBusy(f"Discord answered {error.status} (code {error.code}) at the start.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise DiscordBusy(f"Discord cannot be reached ({type(error).__name__}).") from None


async def stay_connected(client: Easel) -> None:
    """Stay at the gateway, reconnecting as needed, until the client is closed.

    Raises:
        SetupError: Discord refuses the token or the intents, or closed the gateway for good.
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
    """discord.py reconnects by itself, but only after it has reached the gateway once."""
    while True:
        try:
            return await client.connect()
        except AttributeError:
            # discord.py 2.7.1 then reads the sequence of a connection that was never made.
            if getattr(client, "ws", None) is not None:
                raise
            log.warning("Discord's gateway does not answer; trying again in %.0f s", GATEWAY_RETRY_SECONDS)
            await asyncio.sleep(GATEWAY_RETRY_SECONDS)


class Tree(app_commands.CommandTree["Easel"]):
    """The command tree; `answer_error` answers every command's error."""

    async def on_error(self, interaction: discord.Interaction[Easel], error: app_commands.AppCommandError) -> None:
        """Answer the error that discord.py wrapped in its own."""
        await answer_error(interaction, getattr(error, "original", error))


class Easel(commands.Bot):
    """The bot at the gateway. `app.py` sets `services` before it logs in."""

    services: Services

    def __init__(self, *, database: Database) -> None:
        # Easel never joins a voice channel, so the libraries for that are not missing.
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
        self.refusals = PublicRefusals()

    async def setup_hook(self) -> None:
        """Load the cogs, and sync the commands if they have changed since the last start."""
        await self.load_cogs()
        await self._sync_commands()

    async def load_cogs(self) -> None:
        """Load every cog that is not loaded yet."""
        for name in cog_modules():
            if name not in self.extensions:
                await self.load_extension(name)

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Tell the listeners of an event, unless the client is closed.

        discord.py 2.7.1 dispatches `ready` two seconds after the last server was announced, and fails
        with a traceback where the client was closed in between.
        """
        if not self.is_closed():
            super().dispatch(event_name, *args, **kwargs)

    async def on_message(self, message: discord.Message, /) -> None:
        """Easel has no prefix commands; `cogs/edit_by_reply.py` listens for replies."""

    async def on_ready(self) -> None:
        """Log that the gateway is ready."""
        log.info("ready as %s in %d servers", self.user, len(self.guilds))

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a bug in a listener."""
        log.exception("unexpected error in %s", event_method)

    async def _sync_commands(self) -> None:
        payload = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        text = json.dumps(payload, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        name = f"commands of {self.application_id}"
        if await self._database.read(notes.read(name)) == digest:
            return
        await self.tree.sync()
        await self._database.write(notes.write(name, digest))
        log.info("synced %d commands", len(payload))


Interaction = discord.Interaction[Easel]
