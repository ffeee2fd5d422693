"""The line to fal: the only place that shows fal's key, and only to fal's own services."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
from pydantic import SecretStr

from bot.domain.errors import InvalidResponse, SetupError
from bot.providers.shared.http import JSON_LIMIT, Answer, Answering, Timeouts, asked, same_origin

BIG_AT_ONCE = 2
"""Results full of pictures that are read at the same time; each takes up to three times its size."""


class FalClient:
    """Asks fal's services at `origins`, and nobody else. `hidden` are other secrets that no log line may show."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        key: SecretStr,
        origins: Sequence[str],
        limits: Timeouts,
        hidden: Sequence[SecretStr] = (),
    ) -> None:
        if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise SetupError("FAL_KEY is not valid: it holds a space or a character that no key has.")
        self._client = client
        self._key = key
        self._origins = tuple(origins)
        self._hidden = tuple(hidden)
        self.limits = limits
        self.big = asyncio.Semaphore(BIG_AT_ONCE)

    def asked(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limits: Timeouts | None = None,
    ) -> AbstractAsyncContextManager[Answering]:
        """One request up to its answer's head.

        Raises:
            InvalidResponse: the link does not lead to fal; nothing was sent.
        """
        if not same_origin(url, *self._origins):
            raise InvalidResponse(detail="foreign host")
        sent = {"Authorization": f"Key {self._key.get_secret_value()}", "Accept": "application/json"}
        content = None
        if body is not None:
            sent["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        return asked(
            self._client,
            method,
            url,
            limits=limits or self.limits,
            headers={**sent, **(headers or {})},
            content=content,
        )

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        limit: int = JSON_LIMIT,
    ) -> Answer:
        """One request and its whole answer; see `exchange` for what it raises."""
        async with self.asked(method, url, body=body, headers=headers) as answering:
            return await answering.whole(limit)

    def shows_secret(self, text: str) -> bool:
        """Whether a text holds a key."""
        key = self._key.get_secret_value()
        secrets = (key, key.rpartition(":")[2], *(secret.get_secret_value() for secret in self._hidden))
        return any(secret and secret in text for secret in secrets)
