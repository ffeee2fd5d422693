"""Calls to fal's services: the only place that puts fal's key on a request, and only on requests to fal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from pydantic import SecretStr

from bot.domain.errors import InvalidResponse
from bot.net.bodies import json_body
from bot.net.http import JSON_LIMIT, RequestOptions, Timeouts, read, stream
from bot.net.urls import same_origin
from bot.providers.shared.http import provider_errors


class FalClient:
    """Requests to the services at `origins`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: SecretStr,
        origins: Sequence[str],
        timeouts: Timeouts,
    ) -> None:
        self._http = http
        self._key = key
        self._origins = tuple(origins)
        self.timeouts = timeouts

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        submitting: bool = False,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request; the response's body is still to be read.

        Raises:
            InvalidResponse: the URL does not lead to fal; nothing was sent.
            ProviderError: see `provider_errors`; also while the body is read.
        """
        if not same_origin(url, *self._origins):
            raise InvalidResponse(detail="foreign host")
        sent = {"Authorization": f"Key {self._key.get_secret_value()}", "Accept": "application/json"}
        options: RequestOptions = {}
        if body is not None:
            sent["Content-Type"] = "application/json"
            options["content"] = json_body(body)
        options["headers"] = {**sent, **(headers or {})}
        with provider_errors(submitting=submitting):
            async with stream(self._http, method, url, timeouts=timeouts or self.timeouts, **options) as response:
                yield response

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: int = JSON_LIMIT,
        submitting: bool = False,
    ) -> httpx.Response:
        """Send a request and read the whole response, at most `limit` bytes.

        Raises:
            ProviderError: as `stream`.
        """
        async with self.stream(method, url, body=body, headers=headers, submitting=submitting) as response:
            return await read(response, limit)
