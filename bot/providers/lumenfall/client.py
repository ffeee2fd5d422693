"""Calls to Lumenfall's two APIs: the only place that puts the key on a request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
from pydantic import SecretStr

from bot.catalog.offers import Submit
from bot.domain.errors import ProviderError, ProviderMisconfigured
from bot.net.http import JSON_LIMIT, RequestOptions, Timeouts, request, stream
from bot.net.urls import same_origin
from bot.providers.lumenfall.request import SubmitOptions, as_json, as_parts, traceparent
from bot.providers.shared.http import provider_errors

NAME: Final = "lumenfall"
GENERATION = Timeouts(connect=10.0, read=300.0, total=330.0)
LOOKUP = Timeouts(connect=10.0, read=20.0, total=30.0)
BRIEF_LOOKUP = Timeouts(connect=3.0, read=5.0, total=5.0)
"""For what is good to know while a member waits for a picture that is already there."""
_INLINE_PICTURE = 13_631_488
"""Bytes of base64 for one picture: 1536 × 1536 pixels of four bytes, not compressed at all."""


def response_limit(count: int) -> int:
    """Bytes that a response with so many pictures may have."""
    return JSON_LIMIT + count * _INLINE_PICTURE


class LumenfallClient:
    """Requests with the key. `base_url` is the OpenAI-like API; Lumenfall's own is at the same origin."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        key: SecretStr,
        base_url: str,
        options: SubmitOptions,
        timeouts: Timeouts | None = None,
    ) -> None:
        """`timeouts` replace those of every call."""
        self.base_url = base_url
        self.native_url = str(httpx.URL(base_url).join("/v1"))
        self.options = options
        self._http = http
        self._key = key
        self._generation = timeouts or GENERATION
        self._lookup = timeouts or LOOKUP
        self._brief_lookup = timeouts or BRIEF_LOOKUP

    @asynccontextmanager
    async def generate(self, submit: Submit) -> AsyncIterator[httpx.Response]:
        """Send the request that costs money; its response's body is still to be read.

        Raises:
            ProviderError: see `provider_errors`; also while the body is read.
        """
        fields = self.options.fields(submit)
        url = f"{self.base_url}/{submit.provider_request.operation.endpoint}"
        headers = {**self._headers(url), "traceparent": traceparent(submit)}
        options: RequestOptions = {"headers": headers}
        if submit.provider_request.operation.sources is None:
            options["content"] = as_json(fields)
            headers["Content-Type"] = "application/json"
        else:
            options["files"] = as_parts(fields)
        if self.options.streams(submit):
            headers["Accept"] = "text/event-stream, application/json"
        with provider_errors(submitting=True):
            async with stream(self._http, "POST", url, timeouts=self._generation, **options) as response:
                yield response

    async def request(self, url: str, *, body: bytes | None = None, limit: int = JSON_LIMIT) -> httpx.Response:
        """A call that costs nothing: a GET, or a POST of JSON.

        Raises:
            ProviderError: see `provider_errors`.
        """
        return await self._request(url, self._lookup, body, limit)

    async def try_get(self, url: str, *, briefly: bool = False) -> httpx.Response | None:
        """A GET that nothing depends on; None where there was no response."""
        try:
            return await self._request(url, self._brief_lookup if briefly else self._lookup, None, JSON_LIMIT)
        except ProviderError:
            return None

    async def _request(self, url: str, timeouts: Timeouts, body: bytes | None, limit: int) -> httpx.Response:
        headers = self._headers(url)
        options: RequestOptions = {"headers": headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
            options["content"] = body
        method = "GET" if body is None else "POST"
        with provider_errors():
            return await request(self._http, method, url, timeouts=timeouts, limit=limit, **options)

    def _headers(self, url: str) -> dict[str, str]:
        if not same_origin(url, self.base_url):
            raise ProviderMisconfigured(detail="foreign host")
        return {"Authorization": f"Bearer {self._key.get_secret_value()}", "Accept": "application/json"}
