"""The way to Lumenfall: where its two APIs are, and the only place that shows the key."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from typing import Final

import aiohttp
import yarl
from pydantic import SecretStr

from bot.catalog.offers import Submit
from bot.domain.errors import ProviderError, ProviderMisconfigured, SetupError
from bot.providers.lumenfall.request import SubmitOptions, as_form, as_json, traceparent
from bot.providers.shared.http import (
    JSON_LIMIT,
    Answer,
    Answering,
    Content,
    Timeouts,
    asked,
    exchange,
    same_origin,
)

NAME: Final = "lumenfall"
PAINTING = Timeouts(connect=10.0, silence=300.0, total=330.0)
ASKING = Timeouts(connect=10.0, silence=20.0, total=30.0)
LOOKING = Timeouts(connect=3.0, silence=5.0, total=5.0)
"""For what is good to know while somebody waits for a picture that is already there."""
_INLINE_PICTURE = 13_631_488
"""Bytes of base64 for one picture: 1536 × 1536 pixels of four bytes fit without being packed at all."""


def room_for(count: int) -> int:
    """Bytes that an answer with so many pictures may have."""
    return JSON_LIMIT + count * _INLINE_PICTURE


class LumenfallClient:
    """Calls with the key. `base_url` is the OpenAI-like API; Lumenfall's own is at the same origin."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        key: SecretStr,
        base_url: str,
        manner: SubmitOptions,
        limits: Timeouts | None = None,
    ) -> None:
        if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise SetupError("LUMENFALL_API_KEY is not valid: it holds a space or a character that no key has.")
        try:
            self.native_url = str(yarl.URL(base_url).origin() / "v1")
        except ValueError:
            raise SetupError("Lumenfall's address is not a URL.") from None
        self.base_url = base_url.rstrip("/")
        self.manner = manner
        self._client = client
        self._key = key
        self._painting = limits or PAINTING
        self._asking = limits or ASKING
        self._looking = limits or LOOKING

    def paint(self, order: Submit) -> AbstractAsyncContextManager[Answering]:
        """The call that costs money, up to the head of its answer."""
        fields = self.manner.fields(order)
        url = f"{self.base_url}/{order.fit.verb.endpoint}"
        headers = {**self._headers(url), "traceparent": traceparent(order)}
        if order.fit.verb.sources is None:
            content: Content = as_json(fields)
            headers["Content-Type"] = "application/json"
        else:
            content = as_form(fields)
        if self.manner.streams(order.count):
            headers["Accept"] = "text/event-stream, application/json"
        return asked(self._client, "POST", url, limits=self._painting, headers=headers, content=content)

    async def ask(self, url: str, *, body: bytes | None = None, limit: int = JSON_LIMIT) -> Answer:
        """A call that costs nothing: a GET, or a POST of JSON.

        Raises:
            ProviderBusy: no whole answer.
            InvalidResponse: it is too big.
        """
        return await self._exchange(url, self._asking, body, limit)

    async def look(self, url: str, *, briefly: bool = False) -> Answer | None:
        """A GET that nothing depends on; None where no answer came."""
        try:
            return await self._exchange(url, self._looking if briefly else self._asking, None, JSON_LIMIT)
        except ProviderError:
            return None

    async def _exchange(self, url: str, limits: Timeouts, body: bytes | None, limit: int) -> Answer:
        headers = self._headers(url)
        if body is not None:
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "POST"
        return await exchange(self._client, method, url, limits=limits, headers=headers, content=body, limit=limit)

    def _headers(self, url: str) -> dict[str, str]:
        if not same_origin(url, self.base_url):
            raise ProviderMisconfigured(detail="foreign host")
        return {"Authorization": f"Bearer {self._key.get_secret_value()}", "Accept": "application/json"}
