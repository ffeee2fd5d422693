"""How pictures reach fal: as a public link, inside the request, or through fal's own storage.

A file is uploaded with a token for the CDN, or where that fails to a signed link
(https://docs.fal.ai/model-apis/client, and the official clients). Nothing is submitted before all pictures have a
link, so every error here is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel

from bot.domain.clock import Clock
from bot.domain.errors import InvalidResponse, ProviderBusy, ProviderError, ProviderMisconfigured, SourceRejected
from bot.domain.pictures import InputPicture, Picture
from bot.net.bodies import Body, DataUri
from bot.net.hosts import AllowedHosts
from bot.net.http import request
from bot.providers.fal.client import FalClient
from bot.providers.fal.errors import upload_error_from
from bot.providers.fal.schemas import StoredFile, Token, UploadPlace, parsed
from bot.providers.shared.http import provider_errors

INLINE_LIMIT = 3_000_000
"""Bytes of pictures that travel inside a submit; the rest goes through the storage."""
LIFETIME = '{"expiration_duration_seconds": 86400}'
"""How long fal keeps the files of a request: a day, for a job that is given up after an hour."""
LIFECYCLE: Mapping[str, str] = {
    "X-Fal-Object-Lifecycle": LIFETIME,
    "X-Fal-Object-Lifecycle-Preference": LIFETIME,
}
"""The official client sends it under both names."""

Schema = TypeVar("Schema", bound=BaseModel)


class Uploads:
    """Gives each picture a link that fal can read. Files go to listed hosts, the key only to fal's REST host."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        client: FalClient,
        rest_url: str,
        media_hosts: AllowedHosts,
        clock: Clock,
    ) -> None:
        self._http = http
        self._client = client
        self._rest_url = rest_url
        self._media_hosts = media_hosts
        self._clock = clock

    async def links(self, inputs: Iterable[InputPicture | None]) -> list[str | DataUri | None]:
        """A link for each picture, in order, or the picture itself where it is small; None stays None.

        Raises:
            ProviderError: a picture could not be uploaded.
        """
        room = INLINE_LIMIT
        links: list[str | DataUri | None] = []
        for item in inputs:
            if item is None or item.url is not None:
                links.append(item.url if item else None)
            elif item.picture.size <= room:
                room -= item.picture.size
                links.append(DataUri(item.picture))
            else:
                links.append(await self._upload(item.picture))
        return links

    async def _upload(self, picture: Picture) -> str:
        try:
            return await self._with_token(picture)
        except (ProviderMisconfigured, SourceRejected):
            raise
        except ProviderError:
            return await self._to_signed_link(picture)

    async def _with_token(self, picture: Picture) -> str:
        url = f"{self._rest_url}/storage/auth/token?storage_type=fal-cdn-v3"
        token = self._parsed(Token, await self._client.request("POST", url, body={}))
        headers = {
            "Authorization": f"{token.token_type} {token.token}",
            "Content-Type": picture.content_type,
            "X-Fal-File-Name": _header_safe(picture.filename),
            **LIFECYCLE,
        }
        response = await self._send("POST", f"{token.base_url.rstrip('/')}/files/upload", headers, picture)
        return self._checked(self._parsed(StoredFile, response).access_url)

    async def _to_signed_link(self, picture: Picture) -> str:
        url = f"{self._rest_url}/storage/upload/initiate?storage_type=fal-cdn-v3"
        body = {"file_name": _header_safe(picture.filename), "content_type": picture.content_type}
        response = await self._client.request("POST", url, body=body, headers=LIFECYCLE)
        place = self._parsed(UploadPlace, response)
        # The link is signed: no key goes along.
        await self._send("PUT", place.upload_url, {"Content-Type": picture.content_type}, picture)
        return self._checked(place.file_url)

    async def _send(self, method: str, url: str, headers: Mapping[str, str], picture: Picture) -> httpx.Response:
        with provider_errors():
            response = await request(
                self._http,
                method,
                self._checked(url),
                timeouts=self._client.timeouts,
                headers=headers,
                content=Body([picture.stored]),
            )
        if response.status_code in (401, 403):
            # The request did not carry our key: this is about its own token or signature.
            raise ProviderBusy(detail=f"storage {response.status_code}")
        if not response.is_success:
            raise upload_error_from(response, self._clock.now())
        return response

    def _checked(self, url: str) -> str:
        if not self._media_hosts.allows(url):
            raise InvalidResponse("The image service could not take your picture.", detail="foreign host")
        return url

    def _parsed(self, schema: type[Schema], response: httpx.Response) -> Schema:
        if not response.is_success:
            raise upload_error_from(response, self._clock.now())
        found = parsed(schema, response)
        if found is None:
            raise ProviderBusy(detail=f"storage {response.status_code}, garbled")
        return found


def _header_safe(filename: str) -> str:
    """A file's name as a header can carry it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)[-80:] or "picture"
