"""Discord's objects, permission bits, and error responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bot.sandbox.discord.files import Json, StoredFile

T = TypeVar("T")

MIB = 1024 * 1024
DISCORD_EPOCH_MS = 1_420_070_400_000
TEXT_CHANNEL, DM_CHANNEL, PUBLIC_THREAD = 0, 1, 11
EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15

ADMINISTRATOR = 1 << 3
ADD_REACTIONS = 1 << 6
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED_LINKS = 1 << 14
ATTACH_FILES = 1 << 15
READ_MESSAGE_HISTORY = 1 << 16
USE_APPLICATION_COMMANDS = 1 << 31
SEND_MESSAGES_IN_THREADS = 1 << 38
USE_EXTERNAL_APPS = 1 << 50
ALL_PERMISSIONS = (1 << 53) - 1
EVERYONE_PERMISSIONS = (
    VIEW_CHANNEL
    | ADD_REACTIONS
    | SEND_MESSAGES
    | SEND_MESSAGES_IN_THREADS
    | EMBED_LINKS
    | ATTACH_FILES
    | READ_MESSAGE_HISTORY
    | USE_APPLICATION_COMMANDS
    | USE_EXTERNAL_APPS
)


@dataclass(slots=True, kw_only=True)
class Settings:
    """The options of Discord's stand-in; sizes in bytes, times in seconds."""

    token: str | None = None  # None: any bot token is valid
    file_limit: int = 20 * MIB
    cdn_lifetime: float = 86_400.0
    ack_within: float = 3.0
    token_lifetime: float = 900.0
    nonce_window: float = 180.0
    heartbeat_interval: float = 41.25
    message_content: bool = False  # whether the app holds the privileged intents
    discard_files: bool = False  # keep size and hash of the bot's files, not their bytes
    strict: bool = True  # 400 for what breaks a documented rule; False: only record a violation
    recent: int = 200  # how many requests are remembered; fixed at the start


class ApiError(Exception):
    """An error response of the REST API."""

    def __init__(self, status: int, code: int, message: str, errors: Json | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "code": code}
        if errors:
            self.body["errors"] = errors


class Wakeup:
    """Lets coroutines wait until a condition holds."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Let the waiting coroutines check their conditions again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, check: Callable[[], T | None], within: float) -> T:
        """Return the first value of ``check`` that is not None; TimeoutError after ``within`` seconds."""
        async with asyncio.timeout(within):
            while (value := check()) is None:
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
        return value


@dataclass(slots=True, kw_only=True)
class User:
    """An account."""

    id: int
    name: str
    bot: bool = False
    accepts_dms: bool = True


@dataclass(slots=True, kw_only=True)
class Role:
    """A role and the permission bits it gives."""

    id: int
    name: str
    permissions: int
    position: int


@dataclass(slots=True, kw_only=True)
class Guild:
    """A guild; the role with the guild's own id is @everyone."""

    id: int
    name: str
    owner_id: int
    with_bot: bool = True
    locale: str = "en-US"
    updates_channel_id: int | None = None
    """The channel for Discord's notices to moderators (docs: resources/guild, public_updates_channel_id)."""
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, list[int]] = field(default_factory=dict)  # user → role ids
    timeouts: dict[int, float] = field(default_factory=dict)  # user → Unix time of the end


@dataclass(slots=True, kw_only=True)
class Channel:
    """A text channel, a thread when it has a parent, or a DM when it has a recipient."""

    id: int
    name: str
    guild_id: int | None = None
    parent_id: int | None = None
    recipient_id: int | None = None
    file_limit: int | None = None
    overwrites: dict[int, tuple[int, int]] = field(default_factory=dict)  # role or user → allow, deny
    messages: dict[int, Message] = field(default_factory=dict)
    version: int = 0
    typing: int = 0
    wakeup: Wakeup = field(default_factory=Wakeup)

    @property
    def type(self) -> int:
        """Discord's number for the kind of channel."""
        if self.guild_id is None:
            return DM_CHANNEL
        return TEXT_CHANNEL if self.parent_id is None else PUBLIC_THREAD

    def changed(self) -> None:
        """Record that a message was created, edited or deleted."""
        self.version += 1
        self.wakeup.notify()


@dataclass(slots=True, kw_only=True)
class Message:
    """A message, with every version that it had."""

    id: int
    channel_id: int
    author_id: int
    type: int = 0
    content: str = ""
    files: list[StoredFile] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    reactions: list[str] = field(default_factory=list)
    mentions: list[int] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    pinged: Json = field(default_factory=dict)
    reply_to: int | None = None
    nonce: str | None = None
    allowed_mentions: Json | None = None
    interaction: Interaction | None = None
    created_at: float = field(default_factory=time.time)
    edited_at: float | None = None
    deleted: bool = False
    at: float = field(default_factory=time.monotonic)
    versions: list[Json] = field(default_factory=list)

    @property
    def ephemeral(self) -> bool:
        """Whether only the interaction's member sees the message."""
        return bool(self.flags & EPHEMERAL)


@dataclass(slots=True, kw_only=True)
class Interaction:
    """An interaction from the event to its last follow-up."""

    id: int
    token: str
    kind: str
    user_id: int
    channel_id: int
    payload: Json
    file_limit: int
    source_id: int | None = None  # the message whose component was used
    user_only: bool = False
    expires_at: float
    started: float = field(default_factory=time.monotonic)
    sent_at: float | None = None  # None: no gateway session was connected
    delivered: int = 0
    responded_at: float | None = None
    response: Json | None = None
    callbacks: int = 0
    original_id: int | None = None
    deferred: bool = False
    followups: list[int] = field(default_factory=list)
    wakeup: Wakeup = field(default_factory=Wakeup)

    def age(self, at: float) -> float:
        """Seconds from the event to a monotonic time."""
        return at - (self.started if self.sent_at is None else self.sent_at)


def text_of(content: str, components: Sequence[Json]) -> str:
    """All text in which a mention pings: the content, and the Text Displays of Components V2."""
    inner = [str(c.get("content", "")) for c in walk_components(components) if c.get("type") == 10]
    return "\n".join([content, *inner])


def walk_components(components: Sequence[Json]) -> list[Json]:
    """All components, outer before inner."""
    found: list[Json] = []
    for component in components:
        found.append(component)
        found += walk_components(component.get("components") or [])
        found += walk_components([c for k in ("accessory", "component") if (c := component.get(k))])
    return found
