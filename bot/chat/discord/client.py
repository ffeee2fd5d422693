"""discord.py: the client, its command tree, and the one place that answers what went wrong in commands.

Menus, buttons, modals and replies come here as well: `answer_error` for interactions, `answer_reply_error`
for messages, which have no private way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.ext import commands
from pydantic import SecretStr

from bot.catalog.catalog import Catalog
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.refusals import refusal_text
from bot.domain.errors import DiscordBusy, EaselError, NotAllowed, SetupError
from bot.domain.requests import ReplyAddress, Requester
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

UNKNOWN_INTERACTION = 10062
NO_HISTORY = 160002
BAD_TOKEN = 4004
"""The gateway's close code."""
TOKEN_REFUSED = "DISCORD_TOKEN is refused by Discord. Copy it anew from the developer portal."  # noqa: S105
GATEWAY_PAUSE = 5.0
DISCORD_TROUBLE = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
"""What discord.py raises when Discord, or the way to it, does not do what it should."""


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


def requester(interaction: Interaction) -> Requester:
    """Who asks, as the core knows it.

    Raises:
        NotAllowed: not in a server.
    """
    member = interaction.user
    if interaction.guild_id is None or not isinstance(member, discord.Member):
        raise NotAllowed("Easel paints in servers only. Ask it there.")
    return requester_of(member, interaction.channel_id or 0, str(interaction.locale))


def requester_of(member: discord.Member, channel_id: int, locale: str = "en-US") -> Requester:
    """A member of a server, as the core knows them."""
    return Requester(
        user_id=member.id,
        guild_id=member.guild.id,
        channel_id=channel_id,
        # As Discord sent them: `member.roles` leaves out what is not cached yet, just after a start.
        role_ids=tuple(member._roles),  # noqa: SLF001 - discord.py is pinned to 2.7.1
        locale=locale,
    )


def reply_address(interaction: Interaction) -> ReplyAddress:
    """Where the pictures go.

    Raises:
        NotAllowed: Easel may not post there; better said before anything is spent.
    """
    check_may_post(interaction.app_permissions, interaction.channel)
    return ReplyAddress(
        application_id=interaction.application_id,
        channel_id=interaction.channel_id or 0,
        token=interaction.token,
        expires_at=int(interaction.expires_at.timestamp() * 1000),
        file_limit=interaction.filesize_limit,
    )


def check_may_post(held: discord.Permissions, channel: object) -> None:
    """Refuse where Easel could not post the result."""
    in_thread = isinstance(channel, discord.Thread)
    may_send = held.send_messages_in_threads if in_thread else held.send_messages
    missing = [
        name
        for name, granted in (
            ("View Channel", held.view_channel),
            ("Send Messages in Threads" if in_thread else "Send Messages", may_send),
            ("Attach Files", held.attach_files),
            ("Read Message History", held.read_message_history),
        )
        if not granted
    ]
    if missing:
        raise NotAllowed(f"Easel may not post pictures here. Ask a moderator to give it: {', '.join(missing)}.")


async def answer_error(interaction: Interaction, error: BaseException) -> None:
    """Tell the asker, and only the asker, what went wrong. Never raises."""
    if interaction.client.is_closed():
        return
    sentence = _sentence(error, interaction.id)
    if sentence is None:
        return
    try:
        if interaction.response.is_done():
            await interaction.followup.send(sentence, ephemeral=True)
        else:
            await interaction.response.send_message(sentence, ephemeral=True)
    except DISCORD_TROUBLE as failure:
        # Also where Discord delivered an interaction twice: its other copy was answered.
        log.info("an answer was not taken by Discord: %s", failure_kind(failure))


def failure_kind(failure: BaseException) -> str:
    """For the log: no message of a library's exception, which may hold a link."""
    return f"code {failure.code}" if isinstance(failure, discord.HTTPException) else type(failure).__name__


async def answer_reply_error(client: Easel, message: discord.Message, error: BaseException) -> None:
    """A message has nothing private: a short public reply that removes itself. Never raises."""
    sentence = _sentence(error, message.id)
    if sentence is None:
        return
    seconds = client.reply_refusal_seconds
    try:
        try:
            await message.reply(sentence, delete_after=seconds, allowed_mentions=NO_MENTIONS)
        except discord.HTTPException as failure:
            if failure.code != NO_HISTORY:
                raise
            # Where Easel may not read what was said, it may not answer it either, only speak.
            await message.channel.send(sentence, delete_after=seconds, allowed_mentions=NO_MENTIONS)
    except DISCORD_TROUBLE as failure:
        log.info("a reply was not taken by Discord: %s", failure_kind(failure))


def _sentence(error: BaseException, event_id: int) -> str | None:
    """The member's sentence; None where nobody is left to hear it."""
    if isinstance(error, EaselError):
        return refusal_text(error)
    if isinstance(error, discord.NotFound) and error.code == UNKNOWN_INTERACTION:
        log.warning("Discord did not wait for the answer to %d", event_id)
        return None
    if isinstance(error, app_commands.CommandSignatureMismatch):
        return "This command has just changed. Restart Discord and try again."
    if isinstance(error, app_commands.TransformerError):
        return f"“{str(error.value)[:60]}” is not something that Easel understands here. Nothing was charged."
    if isinstance(error, DISCORD_TROUBLE):
        log.warning("Discord did not do what %d needed: %s", event_id, failure_kind(error))
        return "Discord did not do what Easel asked of it. Try again in a moment. Nothing was charged."
    code = f"{event_id % 1_000_000:06d}"
    log.error("unexpected %s (code %s)", type(error).__name__, code, exc_info=error)
    return f"Something went wrong on our side (code {code}). Nothing was charged."


async def answering(interaction: Interaction, work: Callable[[], Awaitable[None]]) -> None:
    """Run a button's or a form's work; their errors reach no handler of discord.py's."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - the one place that answers what went wrong
        await answer_error(interaction, error)
