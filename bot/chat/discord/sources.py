"""Reads the pictures that requests point at from Discord's CDN, and renews their signed links."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import discord
import httpx

from bot.domain.clock import Clock, later
from bot.domain.content import Content
from bot.domain.errors import BadSource
from bot.domain.pictures import FetchedSource
from bot.domain.requests import Source
from bot.net.errors import ResponseTooLarge
from bot.net.hosts import AllowedHosts
from bot.net.http import Pace, Timeouts, open_client, read_content, stream

READ_TIMEOUTS = Timeouts(connect=10, read=10, total=30, pace=Pace(least=65_536, seconds=5.0))
FRESH_FOR = 10 * 60
"""Seconds for which a signed link must still be valid when a provider is given it."""


class SourceReader:
    """Open it with `async with`. The client must have logged in before an expired link can be renewed."""

    def __init__(self, *, client: discord.Client, hosts: AllowedHosts, clock: Clock) -> None:
        self._client = client
        self._hosts = hosts
        self._clock = clock
        self._http = open_client(hosts=hosts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def read(self, source: Source, limit: int) -> FetchedSource:
        """The bytes of a picture, at most `limit`; an expired link is renewed through its message.

        Raises:
            BadSource: the picture is gone, too large or on a host that Easel does not read from.
        """
        url = source.url
        # A stored link has lost its signature, without which Discord gives nothing.
        if source.refetchable and not (self._expiry(url) and self._is_valid(url, 0)):
            url = await self._renewed_url(source)
        content = await self._download(url, source.filename, limit)
        return FetchedSource(content=content, url=url if self.is_fresh(url) else None)

    def is_fresh(self, url: str) -> bool:
        """Whether a signed link is valid for `FRESH_FOR`. Discord's docs, Reference, Signed Attachment URLs."""
        return self._expiry(url) is not None and self._is_valid(url, FRESH_FOR)

    @staticmethod
    def _expiry(url: str) -> str | None:
        """When a signed link expires, in hexadecimal seconds."""
        return next(iter(parse_qs(urlsplit(url).query).get("ex", ())), None)

    def _is_valid(self, url: str, seconds: int) -> bool:
        """Whether a link is valid for so many more seconds; one without an expiry always is."""
        expiry = self._expiry(url)
        try:
            return expiry is None or int(expiry, 16) * 1000 > later(self._clock.discord_now(), seconds)
        except ValueError:
            return False

    async def _renewed_url(self, source: Source) -> str:
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

    async def _download(self, url: str, filename: str, limit: int) -> Content:
        if not self._hosts.allows(url):
            raise BadSource(f"{filename} is not on a host that Easel reads from. Upload it to Discord.")
        unreadable = BadSource(f"{filename} could not be read. Send the picture again.")
        try:
            async with stream(self._http, "GET", url, timeouts=READ_TIMEOUTS) as response:
                if response.status_code != 200:
                    raise unreadable
                return await read_content(response, limit, READ_TIMEOUTS.pace)
        except ResponseTooLarge:
            raise BadSource(f"{filename} has more than {limit // 1024 // 1024} MB. Send a smaller one.") from None
        except (httpx.RequestError, httpx.InvalidURL):
            raise unreadable from None
