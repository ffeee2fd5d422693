"""The `Delivery` port over discord.py: progress cards, results and failure notices.

Everything is sent with the bot's own token, which outlives an interaction's fifteen minutes; only a private
reply goes through the interaction's token, as long as that is valid.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import discord

from bot.catalog.catalog import Catalog
from bot.chat.discord.errors import (
    BLOCKED_BY_AUTOMOD,
    DISCORD_ERRORS,
    FILE_TOO_LARGE,
    NO_READ_HISTORY,
    error_kind,
)
from bot.chat.discord.messages.content import NO_MENTIONS, MessageContent
from bot.chat.discord.messages.progress import progress_message
from bot.chat.discord.messages.refusals import failure_message
from bot.chat.discord.messages.result import alt_text, result_message
from bot.chat.discord.public_refusals import REACTION, PublicRefusals
from bot.chat.discord.result_files import is_result, open_files
from bot.chat.discord.sources import SourceReader
from bot.domain.choices import AlternativeModel
from bot.domain.clock import Clock
from bot.domain.errors import ChannelUnavailable, DiscordBusy, EaselError, InvalidResponse
from bot.domain.jobs import Finished, Job, Progress
from bot.domain.pictures import FetchedSource, Picture
from bot.domain.requests import Source
from bot.pictures.pictures import Pictures

log = logging.getLogger(__name__)

DEFAULT_FILE_LIMIT = 10 * 1024 * 1024
"""Bytes of one file where Discord did not state the channel's limit; every server allows as much."""
REQUEST_LIMIT = 24 * 1024 * 1024
"""Bytes of all files of one message, below the 25 MiB that Discord's docs state for a request."""
SEND_TIMEOUT = 10.0
"""Seconds for a card or a failure notice. Results have the worker's own limit."""
SEARCHED_MESSAGES = 2_000
"""How many messages of a channel are searched for a result at most."""
CLOCK_DRIFT = timedelta(minutes=5)
"""How far our clock may be ahead of Discord's."""


class DiscordDelivery:
    """The client must have logged in, and the source reader be open, before the first call."""

    def __init__(
        self,
        *,
        client: discord.Client,
        refusals: PublicRefusals,
        sources: SourceReader,
        pictures: Pictures,
        catalog: Catalog,
        clock: Clock,
    ) -> None:
        self._refusals = refusals
        self._client = client
        self._sources = sources
        self._pictures = pictures
        self._catalog = catalog
        self._clock = clock

    async def read(self, source: Source, limit: int) -> FetchedSource:
        """As `SourceReader.read`."""
        return await self._sources.read(source, limit)

    def is_fresh(self, url: str) -> bool:
        """As `SourceReader.is_fresh`."""
        return self._sources.is_fresh(url)

    # The progress card

    async def show_progress(self, job: Job, progress: Progress) -> None:
        """Edit the card, if the job has one; never raises."""
        card_id = job.reply.card_id
        if card_id is None:
            return
        message = progress_message(job, progress, self._model_label(job))
        card = self._channel(job).get_partial_message(card_id)
        preview = await self._preview(job, progress)
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await card.edit(
                    content=message.content,
                    view=message.view,
                    attachments=preview or discord.utils.MISSING,
                    allowed_mentions=NO_MENTIONS,
                )
        except DISCORD_ERRORS as error:
            log.info("job %d: its card was not updated: %s", job.id, error_kind(error))

    async def _preview(self, job: Job, progress: Progress) -> list[discord.File]:
        """The unfinished picture, scaled down; an empty list where there is none."""
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

    async def remove_card(self, job: Job) -> bool:
        """Delete the card, if the job has one; False where it may still be there. Never raises."""
        card_id = job.reply.card_id
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                if card_id is not None:
                    await self._channel(job).get_partial_message(card_id).delete()
                elif self._token_valid(job):
                    # Its id was lost with the process that sent it: it is the interaction's first response.
                    await self._interaction(job).delete_message("@original")  # type: ignore[arg-type]
        except (discord.NotFound, discord.Forbidden):
            pass
        except DISCORD_ERRORS as error:
            log.info("job %d: its card was not removed: %s", job.id, error_kind(error))
            return False
        return True

    # The result

    async def find_result(self, job: Job) -> int | None:
        """Search the bot's own messages since the posting began for the job's files or its Delete button.

        Raises:
            DiscordBusy: the channel's messages could not be read.
        """
        bot = self._client.user
        history = self._channel(job).history(limit=SEARCHED_MESSAGES, after=_posting_began(job), oldest_first=True)
        try:
            async for message in history:
                if (bot is None or message.author.id == bot.id) and is_result(message, job.id):
                    return message.id
        except (discord.Forbidden, discord.NotFound):
            return None
        except DISCORD_ERRORS as error:
            raise DiscordBusy(f"Discord did not show the channel ({type(error).__name__}).") from None
        return None

    async def prepare(self, job: Job, finished: Finished) -> Finished:
        """Re-encode the pictures that are too large for the channel."""
        limit = job.reply.file_limit or DEFAULT_FILE_LIMIT
        return await self._shrink(finished, min(limit, max(REQUEST_LIMIT, limit) // len(finished.pictures)))

    async def post_result(self, job: Job, finished: Finished) -> int:
        """Post the pictures as an ordinary message; the nonce makes a repetition within minutes harmless."""
        try:
            return await self._post(job, finished)
        except discord.HTTPException as error:
            if error.code != FILE_TOO_LARGE and error.status != 413:
                raise _delivery_error(error) from None
        except DISCORD_ERRORS as error:
            raise DiscordBusy(type(error).__name__) from None
        # The channel's limit is lower than Discord stated: try once with half of the size that it refused.
        largest = max(picture.size for picture in finished.pictures)
        try:
            return await self._post(job, await self._shrink(finished, largest // 2))
        except discord.HTTPException as error:
            raise _delivery_error(error) from None
        except DISCORD_ERRORS as error:
            raise DiscordBusy(type(error).__name__) from None

    async def _shrink(self, finished: Finished, limit: int) -> Finished:
        """Re-encode pictures of more than `limit` bytes; link those that stay too large."""
        pictures: list[Picture] = []
        links = list(finished.links)
        for picture in finished.pictures:
            smaller = await self._pictures.shrink(picture, limit)
            if smaller == picture:
                pictures.append(picture)
            elif smaller is not None:
                pictures.append(replace(smaller, url=picture.url, reduced=True))
            elif picture.url is not None:
                links.append(picture.url)
        if not pictures and not links:
            raise InvalidResponse(detail="a picture that is too large for any channel and has no public link")
        return replace(finished, pictures=tuple(pictures), links=tuple(links))

    async def _post(self, job: Job, finished: Finished) -> int:
        message = result_message(job, finished, self._model_label(job))
        with open_files(job, finished.pictures) as files:
            return await self._send(
                job,
                content=message.content,
                embeds=message.embeds,
                view=message.view or discord.utils.MISSING,
                files=files,
                nonce=str(job.id),
            )

    # A failure

    async def send_failure(self, job: Job, error: EaselError, alternative: AlternativeModel | None = None) -> None:
        """Send it privately while the interaction's token is valid, else to the channel; never raises."""
        message = failure_message(job, error, alternative)
        if self._token_valid(job) and await self._was_sent(job, self._send_private(job, message)):
            return
        if not await self._was_sent(job, self._refuse_public(job, message)):
            log.warning("job %d: the member could not be told why it failed", job.id)

    async def _was_sent(self, job: Job, sending: Awaitable[object]) -> bool:
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await sending
        except DISCORD_ERRORS as error:
            log.info("job %d: Discord did not take a failure notice: %s", job.id, error_kind(error))
            return False
        return True

    async def _send_private(self, job: Job, message: MessageContent) -> None:
        await self._interaction(job).send(
            message.content,
            view=message.view or discord.utils.MISSING,
            ephemeral=True,
            allowed_mentions=NO_MENTIONS,
        )

    def _token_valid(self, job: Job) -> bool:
        return job.reply.token is not None and self._clock.discord_now() < job.reply.expires_at

    def _interaction(self, job: Job) -> discord.Webhook:
        """The webhook of the interaction that the job began with."""
        webhook = discord.Webhook.partial(job.reply.application_id, job.reply.token or "", client=self._client)
        # Only an interaction's webhook may send privately, and `partial` takes it for a channel's.
        webhook.type = discord.WebhookType.application
        return webhook

    async def _refuse_public(self, job: Job, message: MessageContent) -> None:
        """In words; soon after others, what began with a message gets a reaction, so that pictures go first."""
        reference = self._reference(job)
        if reference is None or self._refusals.may_speak(job.reply.channel_id, job.requester.user_id):
            content = f"<@{job.requester.user_id}> {message.content}"
            await self._send(job, content=content, view=message.view or discord.utils.MISSING)
        elif reference.message_id is not None:
            await self._channel(job).get_partial_message(reference.message_id).add_reaction(REACTION)

    async def _send(self, job: Job, **message: Any) -> int:
        """Send to the job's channel and notify its member alone; returns the message's id.

        A job that began with a message replies to it where Easel may.
        """
        channel, reference = self._channel(job), self._reference(job)
        mentions = _member_only(job)
        if reference is not None:
            try:
                sent = await channel.send(reference=reference, allowed_mentions=mentions, **message)
            except discord.HTTPException as error:
                if error.code != NO_READ_HISTORY:
                    raise
                for file in message.get("files", ()):
                    file.reset(seek=True)
            else:
                return sent.id
        sent = await channel.send(allowed_mentions=mentions, **message)
        return sent.id

    def _channel(self, job: Job) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(job.reply.channel_id, guild_id=job.requester.guild_id)

    def _reference(self, job: Job) -> discord.MessageReference | None:
        """The message that a job began with; None for a job that began with an interaction."""
        if job.reply.token is not None or job.reply.expires_at:
            return None
        return discord.MessageReference(
            message_id=job.id, channel_id=job.reply.channel_id, fail_if_not_exists=False
        )

    def _model_label(self, job: Job) -> str:
        return self._catalog.model(job.request.model).label


def _member_only(job: Job) -> discord.AllowedMentions:
    member = discord.Object(job.requester.user_id)
    return discord.AllowedMentions(everyone=False, roles=False, users=[member], replied_user=False)


def _posting_began(job: Job) -> discord.Object:
    """A snowflake of Discord's own clock, some minutes before the posting began by ours."""
    offset = timedelta(milliseconds=(job.delivering_at or job.created_at) - job.created_at)
    # A form's job has the id of the interaction that opened the form, perhaps long before.
    began = discord.utils.snowflake_time(job.reply.event_id or job.id) + max(offset - CLOCK_DRIFT, timedelta())
    return discord.Object(discord.utils.time_snowflake(began))


def _delivery_error(error: discord.HTTPException) -> DiscordBusy | ChannelUnavailable:
    """What Discord's response to a post means for the job."""
    if error.status >= 500 or error.status in (401, 429):  # 401: the token was reset, which is not the job's fault
        return DiscordBusy(f"Discord answered {error.status}.")
    if error.code == BLOCKED_BY_AUTOMOD:
        return ChannelUnavailable("This server's AutoMod does not let the result be posted.")
    return ChannelUnavailable(f"Easel may not post in this channel (Discord's code {error.code}).")
