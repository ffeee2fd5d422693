"""A picture that is watched while it is painted: the events of OpenAI's image streams, read with limits.

Source: https://platform.openai.com/docs/api-reference/images-streaming. How they look behind Lumenfall is told
nowhere, so whatever is not understood is passed over, and a whole answer inside an event is taken as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bot.domain.errors import PromptRejected, SubmitUnknown
from bot.providers.lumenfall.errors import complaint_in
from bot.providers.lumenfall.request import MOST_PARTIALS
from bot.providers.lumenfall.schemas import REQUEST_ID, Generated, content_of, cost_in, painted_in, request_id_in
from bot.providers.shared.http import Answering

EVENT_LIMIT = 33_554_432
PREVIEW_LIMIT = 8_388_608
Show = Callable[[bytes], Awaitable[None]]


class ResponseStream:
    """One stream. `painted` is what is finished so far, also after it broke off."""

    def __init__(self, count: int, show: Show) -> None:
        """`count` finished pictures are enough; `show` is given the pictures on the way."""
        self.painted = Generated()
        self._count = count
        self._show = show
        self._shown = 0

    async def read(self, answering: Answering) -> None:
        """Until all pictures are there, or the stream is over.

        Raises:
            SubmitUnknown: it was over before any was finished.
            PromptRejected: the service says so in the middle.
        """
        self.painted = Generated(request_id=request_id_in(answering.headers.get(REQUEST_ID)))
        async for event in answering.events(EVENT_LIMIT):
            said = event.json() if event else None
            if event is not None and isinstance(said, dict) and await self._heard(event.name, said):
                return
        if not self.painted:
            raise SubmitUnknown(detail="the stream ended early")

    async def _heard(self, name: str, said: Mapping[str, Any]) -> bool:
        """Take one event in; whether nothing more need be heard."""
        kind = str(said.get("type") or name)
        if kind == "error" or "error" in said:
            return self._stopped(said)
        if kind.endswith("partial_image"):
            await self._preview(said.get("b64_json"))
            return False
        self._add(painted_in({"data": [said], **said} if kind.endswith("completed") else said, {}), said)
        return len(self.painted.links) + len(self.painted.kept) >= self._count

    def _add(self, more: Generated | None, said: Mapping[str, Any]) -> None:
        """Pictures, or only their price."""
        links, kept = (more.links, more.kept) if more else ((), ())
        cost = cost_in(said)
        self.painted = Generated(
            links=self.painted.links + links,
            kept=self.painted.kept + kept,
            cost=self.painted.cost if cost is None else cost,
            request_id=self.painted.request_id or (more.request_id if more else None),
        )

    def _stopped(self, said: Mapping[str, Any]) -> bool:
        """An error in the middle: work had begun, so only a clear word says that nothing was painted."""
        complaint = complaint_in(said)
        if not self.painted and complaint.moderated:
            raise PromptRejected(detail=f"stream {complaint.code}".strip())
        if not self.painted:
            raise SubmitUnknown(detail=f"stream error {complaint.code}".strip())
        return True

    async def _preview(self, text: Any) -> None:
        self._shown += 1
        if self._shown > MOST_PARTIALS or not isinstance(text, str) or len(text) > PREVIEW_LIMIT * 4 // 3:
            return
        if content := content_of(text):
            await self._show(content)
