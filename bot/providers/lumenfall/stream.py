"""A response that streams a picture while it is painted: OpenAI's image events, read with limits.

Source: https://platform.openai.com/docs/api-reference/images-streaming. Lumenfall does not document how it passes
them on, so unknown events are passed over, and a whole response inside an event is read as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import httpx

from bot.domain.content import Content
from bot.domain.errors import PromptRejected, SubmitUnknown
from bot.net.sse import events
from bot.providers.lumenfall.errors import error_details
from bot.providers.lumenfall.request import MAXIMUM_PARTIALS
from bot.providers.lumenfall.schemas import (
    REQUEST_ID,
    Generated,
    content_of,
    cost_in,
    generated_in,
    request_id_in,
)

EVENT_LIMIT = 33_554_432
PREVIEW_LIMIT = 8_388_608
"""Bytes of an unfinished picture."""
ShowPreview = Callable[[Content], Awaitable[None]]


class ResponseStream:
    """One stream. `generated` is what is finished so far, also after it broke off."""

    def __init__(self, count: int, show_preview: ShowPreview) -> None:
        """Reading ends after `count` finished pictures; unfinished ones go to `show_preview`."""
        self.generated = Generated()
        self._count = count
        self._show_preview = show_preview
        self._previews = 0

    async def read(self, response: httpx.Response) -> None:
        """Read until all pictures are there, or the stream is over.

        Raises:
            SubmitUnknown: it was over before any was finished.
            PromptRejected: the content policy stopped it.
            httpx.RequestError: it broke off.
        """
        self.generated = Generated(request_id=request_id_in(response.headers.get(REQUEST_ID)))
        async with aclosing(events(response, EVENT_LIMIT)) as found:
            async for event in found:
                fields = await event.json() if event else None
                if event is not None and isinstance(fields, dict) and await self._handle(event.name, fields):
                    return
        if not self.generated:
            raise SubmitUnknown(detail="the stream ended early")

    async def _handle(self, name: str, fields: Mapping[str, Any]) -> bool:
        """Take in one event; whether the stream need not be read any further."""
        kind = str(fields.get("type") or name)
        if kind == "error" or "error" in fields:
            return self._stop(fields)
        if kind.endswith("partial_image"):
            await self._preview(fields.get("b64_json"))
            return False
        body = {"data": [fields], **fields} if kind.endswith("completed") else fields
        self._add(await asyncio.to_thread(generated_in, body, {}), fields)
        return len(self.generated.links) + len(self.generated.contents) >= self._count

    def _add(self, more: Generated | None, fields: Mapping[str, Any]) -> None:
        """Pictures, or only their price."""
        links, contents = (more.links, more.contents) if more else ((), ())
        cost = cost_in(fields)
        self.generated = Generated(
            links=self.generated.links + links,
            contents=self.generated.contents + contents,
            cost=self.generated.cost if cost is None else cost,
            request_id=self.generated.request_id or (more.request_id if more else None),
        )

    def _stop(self, fields: Mapping[str, Any]) -> bool:
        """End with an error event. Painting had begun, so only a refused prompt is certain to cost nothing."""
        details = error_details(fields)
        if not self.generated and details.moderated:
            raise PromptRejected(detail=f"stream {details.code}".strip())
        if not self.generated:
            raise SubmitUnknown(detail=f"stream error {details.code}".strip())
        return True

    async def _preview(self, text: Any) -> None:
        self._previews += 1
        too_many = self._previews > MAXIMUM_PARTIALS
        content = None if too_many else await asyncio.to_thread(content_of, text, PREVIEW_LIMIT)
        if content:
            await self._show_preview(content)
