"""How pictures reach fal: as a public link, inside the request, or through fal's own storage.

The storage has two ways in (https://docs.fal.ai/model-apis/client, and the official clients): a token for the CDN,
and a signed link to put the file to. The second is used when the first does not work. Nothing is submitted
before all pictures have a link, so every trouble here is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import aiohttp
from pydantic import BaseModel

from bot.domain.clock import Clock
from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, ProviderMisconfigured, SourceRejected
from bot.domain.pictures import InputPicture, Picture
from bot.net.hosts import AllowedHosts
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import upload_refusal
from bot.providers.fal.schemas import Stored, Token, UploadPlace, parsed
from bot.providers.shared.http import Answer, data_uri, exchange

INLINE_LIMIT = 3_000_000
"""Bytes of pictures that travel inside a submit; the rest goes through the storage."""
LIFETIME = '{"expiration_duration_seconds": 86400}'
"""How long fal keeps the files of a request: a day, for a job that is given up after an hour."""
LIFECYCLE: Mapping[str, str] = {
    "X-Fal-Object-Lifecycle": LIFETIME,
    "X-Fal-Object-Lifecycle-Preference": LIFETIME,
}
"""The official client sends it under both names."""

Shape = TypeVar("Shape", bound=BaseModel)


class Uploads:
    """Gives each picture a link that fal can read. Files go to listed hosts, the key only to fal's REST host."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        line: FalClient,
        rest_url: str,
        media_hosts: AllowedHosts,
        clock: Clock,
    ) -> None:
        self._client = client
        self._line = line
        self._rest_url = rest_url
        self._media_hosts = media_hosts
        self._clock = clock

    async def links(self, inputs: Iterable[InputPicture | None]) -> list[str | None]:
        """A link for each picture, in order; None stays None."""
        room, links = INLINE_LIMIT, []
        for item in inputs:
            if item is None or item.url is not None:
                links.append(item.url if item else None)
            elif len(item.picture.content) <= room:
                room -= len(item.picture.content)
                links.append(data_uri(item.picture.content, item.picture.content_type))
            else:
                links.append(await self._upload(item.picture))
        return links

    async def _upload(self, picture: Picture) -> str:
        try:
            return await self._by_token(picture)
        except (ProviderMisconfigured, SourceRejected):
            raise
        except ProviderError:
            return await self._by_signed_link(picture)

    async def _by_token(self, picture: Picture) -> str:
        token = self._read(
            Token,
            await self._line.ask("POST", f"{self._rest_url}/storage/auth/token?storage_type=fal-cdn-v3", body={}),
        )
        headers = {
            "Authorization": f"{token.token_type} {token.token}",
            "Content-Type": picture.content_type,
            "X-Fal-File-Name": _plain(picture.filename),
            **LIFECYCLE,
        }
        answer = await self._send("POST", f"{token.base_url.rstrip('/')}/files/upload", headers, picture)
        return self._listed(self._read(Stored, answer).access_url)

    async def _by_signed_link(self, picture: Picture) -> str:
        place = self._read(
            UploadPlace,
            await self._line.ask(
                "POST",
                f"{self._rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3",
                body={"file_name": _plain(picture.filename), "content_type": picture.content_type},
                headers=LIFECYCLE,
            ),
        )
        # The link is signed: no key goes along.
        await self._send("PUT", place.upload_url, {"Content-Type": picture.content_type}, picture)
        return self._listed(place.file_url)

    async def _send(self, method: str, url: str, headers: Mapping[str, str], picture: Picture) -> Answer:
        answer = await exchange(
            self._client,
            method,
            self._listed(url),
            limits=self._line.limits,
            headers=headers,
            content=picture.content,
            hosts=self._media_hosts,
        )
        if answer.status in (401, 403):
            # It was shown no key of ours: this is about its own token or signature.
            raise ProviderBusy(detail=f"storage {answer.status}")
        if not answer.good:
            raise upload_refusal(answer, self._clock.now())
        return answer

    def _listed(self, url: str) -> str:
        if not self._media_hosts.allows(url):
            raise InvalidResponse("The image service could not take your picture.", detail="foreign host")
        return url

    def _read(self, shape: type[Shape], answer: Answer) -> Shape:
        if not answer.good:
            raise upload_refusal(answer, self._clock.now())
        found = parsed(shape, answer)
        if found is None:
            raise ProviderBusy(detail=f"storage {answer.status}, garbled")
        return found


def _plain(filename: str) -> str:
    """A file's name as a header can carry it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)[-80:] or "picture"
