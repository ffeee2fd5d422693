"""The pictures of a finished job, from links, data URIs or bytes to files that were looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import httpx

from bot.domain.content import Content, DiskFile
from bot.domain.errors import BadSource, InvalidResponse, NoPicture, ProviderBusy, ProviderError
from bot.domain.pictures import Picture
from bot.net.hosts import AllowedHosts
from bot.net.http import Pace, Timeouts, read, read_content, stream
from bot.pictures.pictures import Pictures
from bot.providers.shared.http import provider_errors
from bot.providers.shared.inline import PICTURE_LIMIT, Text, is_data_uri, picture_in
from bot.providers.shared.polling import PollPolicy

TIMEOUTS = Timeouts(read=15.0, pace=Pace(least=65_536, seconds=5.0))
"""A result that drips holds a delivery slot. At this pace 1.5 MB take the two minutes of a whole exchange."""
MAXIMUM_REDIRECTS = 3
MAXIMUM_ATTEMPTS = 3
"""Reads of one picture, while its host is busy."""
AT_ONCE = 8

Headers = Callable[[str], Mapping[str, str]]


class PictureGone(InvalidResponse):
    """The provider's link to a picture has expired."""


class Downloads:
    """Reads pictures from the `hosts` of a provider's media, and checks them."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        hosts: AllowedHosts,
        pictures: Pictures,
        poll_policy: PollPolicy,
        *,
        timeouts: Timeouts | None = None,
        limit: int = PICTURE_LIMIT,
        headers: Headers | None = None,
        public: bool = True,
    ) -> None:
        """`limit` is in bytes; `headers` gives those for one URL, also for each of its redirects.

        `public` says whether members may see the provider's links.
        """
        self._http = http
        self._hosts = hosts
        self._pictures = pictures
        self._poll_policy = poll_policy
        self._timeouts = timeouts or TIMEOUTS
        self._limit = limit
        self._headers = headers or _no_headers
        self._public = public
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def collect(self, results: Sequence[Text | Content], count: int) -> tuple[Picture, ...]:
        """At most `count` pictures, in order; fewer where some are not usable.

        Raises:
            ProviderBusy: there is none now, but at least one may be there soon.
            InvalidResponse: none is usable.
        """
        if not results:
            raise NoPicture(detail="no picture")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._picture(result, number))
                for number, result in enumerate(results[:count], start=1)
            ]
        outcomes = [task.result() for task in tasks]
        pictures = tuple(outcome for outcome in outcomes if isinstance(outcome, Picture))
        if not pictures:
            errors = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
            raise next((error for error in errors if isinstance(error, ProviderBusy)), errors[0])
        return pictures

    async def _picture(self, result: Text | Content, number: int) -> Picture | ProviderError:
        """One picture, or the error that it ended with, so that the others still count."""
        failures = 0
        while True:
            try:
                content = result if isinstance(result, bytes | DiskFile) else await self.read(result)
                picture = await self._pictures.inspect(content, filename=f"picture-{number}", result=True)
                is_link = isinstance(result, str) and not is_data_uri(result)
                return replace(picture, url=str(result) if is_link and self._public else None)
            except BadSource:
                return InvalidResponse(detail="not a picture")
            except ProviderBusy as busy:
                failures += 1
                if failures >= min(MAXIMUM_ATTEMPTS, self._poll_policy.failures):
                    return busy
                await asyncio.sleep(self._poll_policy.wait_after_failures(failures))
            except ProviderError as error:
                return error

    async def read(self, url: Text) -> Content:
        """The bytes behind a link or inside a data URI, on disk where they are many.

        Raises:
            ProviderBusy: the host may have it soon.
            PictureGone: the host no longer has it.
            InvalidResponse: it is too large, or on a host where Easel does not go.
        """
        if is_data_uri(url):
            return await asyncio.to_thread(picture_in, url, self._limit)
        if not isinstance(url, str):
            raise InvalidResponse(detail="a link as long as a picture")
        async with self._turns:
            for _ in range(MAXIMUM_REDIRECTS + 1):
                if not self._hosts.allows(url):
                    raise InvalidResponse(detail="foreign host")
                with provider_errors():
                    async with stream(
                        self._http, "GET", url, timeouts=self._timeouts, headers=self._headers(url)
                    ) as streamed:
                        if streamed.is_success:
                            return await read_content(streamed, self._limit, self._timeouts.pace)
                        response = await read(streamed, self._limit, self._timeouts.pace)
                if not response.has_redirect_location:
                    raise _error_of(response)
                url = _redirected(url, response.headers["location"])
        raise InvalidResponse(detail="too many redirects")


def _no_headers(_url: str) -> Mapping[str, str]:
    return {}


def _error_of(response: httpx.Response) -> ProviderError:
    status = response.status_code
    detail = f"picture {status}"
    if status >= 500 or status in (408, 425, 429):
        return ProviderBusy(detail=detail)
    return PictureGone(detail=detail) if status in (403, 404, 410) else InvalidResponse(detail=detail)


def _redirected(url: str, location: str) -> str:
    try:
        return str(httpx.URL(url).join(location))
    except (httpx.InvalidURL, ValueError):
        raise InvalidResponse(detail="bad redirect") from None
