"""Discord as the core sees it: sources are read, cards shown, pictures posted, once.

Everything is sent with the bot's own token, which outlives an interaction's fifteen minutes; only a private
word goes through the interaction's token, while it lasts.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
import discord

from bot.catalog.catalog import Catalog
from bot.chat.discord.messages.buttons import custom_id
from bot.chat.discord.messages.content import NO_MENTIONS
from bot.chat.discord.messages.progress import progress_message
from bot.chat.discord.messages.result import alt_text, result_message
from bot.domain.clock import Clock
from bot.domain.errors import BadSource, ChannelUnavailable, DiscordBusy, InvalidResponse
from bot.domain.jobs import Finished, Job, Progress
from bot.domain.pictures import FetchedSource, Picture
from bot.domain.requests import Source
from bot.net.guard import GuardedResolver
from bot.net.hosts import AllowedHosts
from bot.pictures import Pictures

log = logging.getLogger(__name__)

DEFAULT_FILE_LIMIT = 10 * 1024 * 1024
"""Bytes for each file where Discord did not say; what libraries and boosted servers all allow."""
REQUEST_LIMIT = 24 * 1024 * 1024
"""Bytes in all the files of one message, below the 25 MiB that Discord's docs state for a request."""
READ_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
CARD_PATIENCE = 10.0
FRESH_FOR = 10 * 60
"""Seconds that a signed link must still be good for, to be handed to a service."""
LOOK_BACK = 2_000
"""Messages that are looked through for a result, at most."""

CLOCK_DRIFT = timedelta(minutes=5)

TOO_LARGE = 40005
NO_HISTORY = 160002
AUTOMOD = 200000


class DiscordDelivery:
    """The `Delivery` plug. Open it with `async with`; the client must have logged in before it posts."""

    def __init__(
        self, *, client: discord.Client, hosts: AllowedHosts, pictures: Pictures, catalog: Catalog, clock: Clock
    ) -> None:
        self._client = client
        self._hosts = hosts
        self._pictures = pictures
        self._catalog = catalog
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(resolver=GuardedResolver(self._hosts))
        self._session = aiohttp.ClientSession(connector=connector, timeout=READ_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # Reading

    async def read(self, source: Source, limit: int) -> FetchedSource:
        """The bytes of a picture; a link that has run out is renewed through its message."""
        url = source.url
        if source.refetchable and not self._still_good(url, 0):
            url = await self._renewed(source)
        content = await self._download(url, source.filename, limit)
        return FetchedSource(content=content, url=url if self.is_fresh(url) else None)

    def is_fresh(self, url: str) -> bool:
        """Whether a signed link lasts for some minutes more. Discord's docs, Reference, Signed Attachment URLs."""
        return "ex" in parse_qs(urlsplit(url).query) and self._still_good(url, FRESH_FOR)

    def _still_good(self, url: str, seconds: int) -> bool:
        expiry = parse_qs(urlsplit(url).query).get("ex")
        try:
            return expiry is None or int(expiry[0], 16) > self._clock.discord_now() / 1000 + seconds
        except ValueError:
            return False

    async def _renewed(self, source: Source) -> str:
        gone = BadSource(f"{source.filename} is gone. Send the picture again.")
        if source.channel_id is None or source.message_id is None:
            raise gone
        channel = self._client.get_partial_messageable(source.channel_id)
        try:
            message = await channel.fetch_message(source.message_id)
        except discord.HTTPException:
            raise gone from None
        for attachment in message.attachments:
            if attachment.id == source.attachment_id:
                return attachment.url
        raise gone

    async def _download(self, url: str, filename: str, limit: int) -> bytes:
        if not self._hosts.allows(url):
            raise BadSource(f"{filename} lives where Easel does not go. Upload it to Discord.")
        if self._session is None:
            raise RuntimeError("the delivery is not open")
        content = bytearray()
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                if response.status != 200:
                    raise BadSource(f"{filename} could not be read. Send the picture again.")
                async for chunk in response.content.iter_chunked(65_536):
                    content += chunk
                    if len(content) > limit:
                        raise BadSource(
                            f"{filename} has more than {limit // 1024 // 1024} MB. Send a smaller one."
                        )
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise BadSource(f"{filename} could not be read. Send the picture again.") from None
        return bytes(content)

    # The card

    async def show_progress(self, job: Job, progress: Progress) -> None:
        """Edit the card, where there is one."""
        card = job.reply.card_id
        if card is None:
            return
        screen = progress_message(job, progress, self._label(job))
        message = self._channel(job).get_partial_message(card)
        preview = await self._preview(job, progress)
        try:
            async with asyncio.timeout(CARD_PATIENCE):
                await message.edit(
                    content=screen.content,
                    view=screen.view,
                    attachments=preview or discord.utils.MISSING,
                    allowed_mentions=NO_MENTIONS,
                )
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("job %d: its card was not brought up to date: %s", job.id, type(error).__name__)

    async def _preview(self, job: Job, progress: Progress) -> list[discord.File]:
        """The unfinished picture, small, in the place of an earlier one; nothing where there is none."""
        if progress.preview is None:
            return []
        small = await self._pictures.preview(progress.preview)
        if small is None:
            return []
        name = f"unfinished-{job.id}.webp"
        file = discord.File(
            io.BytesIO(small.content),
            filename=name,
            spoiler=job.request.spoiler,
            description=alt_text(job.request, finished=False),
        )
        return [file]

    async def remove_card(self, job: Job) -> None:
        """Delete the card."""
        card = job.reply.card_id
        if card is None:
            return
        try:
            async with asyncio.timeout(CARD_PATIENCE):
                await self._channel(job).get_partial_message(card).delete()
        except discord.NotFound:
            pass
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("job %d: its card was not removed: %s", job.id, type(error).__name__)

    # The result

    async def find_result(self, job: Job) -> int | None:
        """Look through the bot's own messages since the posting began for the job's files."""
        prefix = f"easel-{job.id}-"
        me = self._client.user
        try:
            async for message in self._channel(job).history(limit=LOOK_BACK, after=_since(job), oldest_first=True):
                if me is not None and message.author.id != me.id:
                    continue
                if any(name.removeprefix("SPOILER_").startswith(prefix) for name in _names(message)):
                    return message.id
                if custom_id("delete", job.id) in _custom_ids(message):
                    return message.id
        except (discord.Forbidden, discord.NotFound):
            return None
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DiscordBusy(f"Discord did not show the channel ({type(error).__name__}).") from None
        return None

    async def prepare(self, job: Job, finished: Finished) -> Finished:
        """Make every picture fit what the channel takes."""
        limit = job.reply.file_limit or DEFAULT_FILE_LIMIT
        return await self._fitted(finished, min(limit, max(REQUEST_LIMIT, limit) // len(finished.pictures)))

    async def post_result(self, job: Job, finished: Finished) -> int:
        """Post the pictures as an ordinary message; the nonce makes a repeat within minutes harmless."""
        try:
            return await self._post(job, finished)
        except discord.HTTPException as error:
            if error.code != TOO_LARGE and error.status != 413:
                raise _translated(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DiscordBusy(type(error).__name__) from None
        # The channel takes less than it was thought to: half of what was just refused, once.
        largest = max(len(picture.content) for picture in finished.pictures)
        try:
            return await self._post(job, await self._fitted(finished, largest // 2))
        except discord.HTTPException as error:
            raise _translated(error) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DiscordBusy(type(error).__name__) from None

    async def _fitted(self, finished: Finished, limit: int) -> Finished:
        """Re-encode what has more than `limit` bytes; what stays too large is linked."""
        fitting: list[Picture] = []
        links = list(finished.links)
        for picture in finished.pictures:
            smaller = await self._pictures.fit(picture, limit)
            if smaller is not None:
                fitting.append(replace(smaller, url=picture.url))
            elif picture.url is not None:
                links.append(picture.url)
        if not fitting and not links:
            raise InvalidResponse(detail="a picture that no channel takes and nothing shows")
        return replace(finished, pictures=tuple(fitting), links=tuple(links))

    async def _post(self, job: Job, finished: Finished) -> int:
        screen = result_message(job, finished, self._label(job))
        with _attached(job, finished.pictures) as files:
            return await self._send(
                job,
                content=screen.content,
                embeds=screen.embeds,
                view=screen.view or discord.utils.MISSING,
                files=files,
                nonce=str(job.id),
            )

    async def _send(self, job: Job, **message: Any) -> int:
        """Send to the job's channel, pinging the asker alone; as an answer where that is possible."""
        channel, reference = self._channel(job), self._reference(job)
        if reference is not None:
            try:
                sent = await channel.send(reference=reference, allowed_mentions=self._asker_only(job), **message)
            except discord.HTTPException as error:
                if error.code != NO_HISTORY:
                    raise
                for file in message.get("files", ()):
                    file.reset(seek=True)
            else:
                return sent.id
        sent = await channel.send(allowed_mentions=self._asker_only(job), **message)
        return sent.id

    async def send_failure(self, job: Job, sentence: str) -> None:
        """Privately while the interaction's token lasts, else in the channel."""
        fresh = job.reply.token is not None and self._clock.discord_now() < job.reply.expires_at
        if fresh and await self._told(job, self._whisper(job, sentence)):
            return
        if not await self._told(job, self._reply(job, sentence)):
            log.warning("job %d: its asker could not be told", job.id)

    async def _told(self, job: Job, way: Awaitable[object]) -> bool:
        try:
            async with asyncio.timeout(CARD_PATIENCE):
                await way
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.info("job %d: an apology was not taken by Discord: %s", job.id, type(error).__name__)
            return False
        return True

    async def _whisper(self, job: Job, sentence: str) -> None:
        webhook = discord.Webhook.partial(job.reply.application_id, job.reply.token or "", client=self._client)
        # Only an interaction's webhook may speak privately, and `partial` takes it for a channel's.
        webhook.type = discord.WebhookType.application
        await webhook.send(sentence, ephemeral=True, allowed_mentions=NO_MENTIONS)

    async def _reply(self, job: Job, sentence: str) -> None:
        await self._send(job, content=f"<@{job.requester.user_id}> {sentence}")

    @staticmethod
    def _asker_only(job: Job) -> discord.AllowedMentions:
        asker = discord.Object(job.requester.user_id)
        return discord.AllowedMentions(everyone=False, roles=False, users=[asker], replied_user=False)

    def _channel(self, job: Job) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(job.reply.channel_id, guild_id=job.requester.guild_id)

    def _reference(self, job: Job) -> discord.MessageReference | None:
        """A job born from a message answers it."""
        if job.reply.token is not None or job.reply.expires_at:
            return None
        return discord.MessageReference(
            message_id=job.id, channel_id=job.reply.channel_id, fail_if_not_exists=False
        )

    def _label(self, job: Job) -> str:
        return self._catalog.model(job.request.model).label


def _since(job: Job) -> discord.Object:
    """A moment on Discord's own clock, some minutes before the posting began by ours."""
    offset = timedelta(milliseconds=(job.delivering_at or job.created_at) - job.created_at)
    began = discord.utils.snowflake_time(job.id) + max(offset - CLOCK_DRIFT, timedelta())
    return discord.Object(discord.utils.time_snowflake(began))


@contextmanager
def _attached(job: Job, pictures: Sequence[Picture]) -> Iterator[list[discord.File]]:
    """The pictures as files. discord.py leaves each in a reference cycle: closed, they hold no bytes there."""
    alt = alt_text(job.request)
    files = [
        discord.File(
            io.BytesIO(picture.content),
            filename=f"easel-{job.id}-{number}.{picture.content_type.removeprefix('image/')}",
            description=alt,
            spoiler=job.request.spoiler,
        )
        for number, picture in enumerate(pictures, 1)
    ]
    try:
        yield files
    finally:
        for file in files:
            file.fp.close()


def _names(message: discord.Message) -> list[str]:
    return [attachment.filename for attachment in message.attachments]


def _custom_ids(message: discord.Message) -> set[str | None]:
    return {
        child.custom_id
        for row in message.components
        if isinstance(row, discord.ActionRow)
        for child in row.children
    }


def _translated(error: discord.HTTPException) -> DiscordBusy | ChannelUnavailable:
    """What Discord's answer to a post means for the job."""
    if error.status >= 500 or error.status in (401, 429):  # 401: the token was reset, which is not the job's fault
        return DiscordBusy(f"Discord answered {error.status}.")
    if error.code == AUTOMOD:
        return ChannelUnavailable("This server's AutoMod does not let the result be posted.")
    return ChannelUnavailable(f"Easel may not post in this channel (Discord's code {error.code}).")
