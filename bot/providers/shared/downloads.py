"""Turns what a service calls a picture, a link or bytes, into pictures that really are some."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from bot.domain.errors import BadSource, InvalidResponse, ProviderBusy, ProviderError
from bot.domain.pictures import Picture
from bot.pictures import Pictures
from bot.providers.shared.http import Downloads
from bot.providers.shared.polling import PollPolicy


class Gatherer:
    """Fetches and checks the pictures of a finished piece of work."""

    def __init__(self, downloads: Downloads, pictures: Pictures, pace: PollPolicy, *, public: bool = True) -> None:
        """`public` says whether anybody may be shown the service's links."""
        self._public = public
        self._downloads = downloads
        self._pictures = pictures
        self._pace = pace

    async def gather(self, found: Sequence[str | bytes], count: int) -> tuple[tuple[Picture, ...], str]:
        """At most `count` pictures, in order, and a note where there are fewer.

        Raises:
            ProviderBusy: none could be had, and at least one may be there in a moment.
            InvalidResponse: none is usable.
        """
        if not found:
            raise InvalidResponse("The image service finished without a picture.", detail="no picture")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._picture(item, number))
                for number, item in enumerate(found[:count], start=1)
            ]
        outcomes = [task.result() for task in tasks]
        good = tuple(outcome for outcome in outcomes if isinstance(outcome, Picture))
        if not good:
            troubles = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
            raise next((trouble for trouble in troubles if isinstance(trouble, ProviderBusy)), troubles[0])
        return good, "" if len(good) == count else f"The service painted {len(good)} of {count} pictures."

    async def _picture(self, found: str | bytes, number: int) -> Picture | ProviderError:
        """One picture, really one; or what was wrong with it, so that the others still count."""
        failures = 0
        while True:
            try:
                content = found if isinstance(found, bytes) else await self._downloads.read(found)
                picture = await self._pictures.inspect(content, filename=f"picture-{number}", result=True)
                shown = self._public and isinstance(found, str) and found[:5].lower() != "data:"
                return replace(picture, url=str(found) if shown else None)
            except BadSource:
                return InvalidResponse(detail="not a picture")
            except ProviderBusy as busy:
                failures += 1
                if failures >= min(3, self._pace.failures):
                    return busy
                await asyncio.sleep(self._pace.troubled(failures))
            except ProviderError as error:
                return error
