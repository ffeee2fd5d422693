"""Many interactions at once, and the time that each took, for the benchmarks."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bot.sandbox.discord.files import Blob, Json
from bot.sandbox.discord.interactions import Interactions, numbered
from bot.sandbox.discord.model import Interaction, Message, Wakeup
from bot.sandbox.discord.world import World

_OWN_FILE = re.compile(r"easel-(\d+)-")


@dataclass(slots=True, kw_only=True)
class TimedInteraction:
    """One interaction of a burst, and the times of its response and its result."""

    interaction: Interaction
    result_at: float | None = None
    message_id: int | None = None

    def report(self) -> Json:
        """Milliseconds from the event to the response and to the result; None: it did not come."""
        interaction = self.interaction
        response = interaction.response
        responded, result = interaction.responded_at, self.result_at
        return {
            "interaction": interaction.id,
            "member": interaction.user_id,
            "ack_ms": None if responded is None else round(interaction.age(responded) * 1000, 3),
            "ack_type": response and response["type"],
            "ephemeral": bool(response and (response["data"].get("flags") or 0) & 64),
            "result_ms": None if result is None else round(interaction.age(result) * 1000, 3),
            "message": self.message_id,
        }


class Burst:
    """Sends interactions and recognises their results.

    A result is a message of the bot with attachments that names the interaction in a file name
    (``easel-<id>-1.png``), is its response, replies to its response, or mentions its member, in this order.
    """

    def __init__(self, world: World, interactions: Interactions) -> None:
        self.world = world
        self.interactions = interactions
        self.timed: dict[int, TimedInteraction] = {}
        self.by_member: dict[int, deque[TimedInteraction]] = defaultdict(deque)
        self.open = 0
        self.wakeup = Wakeup()

    async def run(
        self, spec: Json, n: int, rate: float | None, members: Sequence[int], until: str, within: float
    ) -> Json:
        """Send ``n``, at once or ``rate`` a second, and wait until all have their response or result."""
        options = {
            name: Blob.from_json(value) if isinstance(value, dict) else value
            for name, value in (spec.get("options") or {}).items()
        }
        spec = spec | {"options": options}
        begun = time.monotonic()
        self.world.observers.append(self._on_message)
        try:
            for number in range(n):
                if rate:
                    await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                elif number % 20 == 19:
                    await asyncio.sleep(0)  # lets the gateway write while further interactions are built
                self._send(numbered(spec, number) | {"member": members[number % len(members)]})
            await self._wait_for(until, begun + within)
        finally:
            self.world.observers.remove(self._on_message)
        return self._report(time.monotonic() - begun)

    def _send(self, spec: Json) -> None:
        entry = TimedInteraction(interaction=self.interactions.start(spec))
        self.timed[entry.interaction.id] = entry
        self.by_member[entry.interaction.user_id].append(entry)
        self.open += 1

    async def _wait_for(self, until: str, deadline: float) -> None:
        try:
            for entry in self.timed.values():
                left = deadline - time.monotonic()
                await entry.interaction.wakeup.wait(partial(_response, entry.interaction), left)
            if until == "result":
                await self.wakeup.wait(lambda: True if self.open == 0 else None, deadline - time.monotonic())
        except TimeoutError:
            return  # missing times stay None in the report

    def _on_message(self, message: Message) -> None:
        if message.author_id != self.world.bot.id or not message.files:
            return
        entry = self._find(message)
        if entry is None or entry.result_at is not None:
            return
        entry.result_at, entry.message_id = time.monotonic(), message.id
        self.open -= 1
        if self.open == 0:
            self.wakeup.notify()

    def _find(self, message: Message) -> TimedInteraction | None:
        for file in message.files:
            if found := _OWN_FILE.match(file.blob.filename):
                return self.timed.get(int(found[1]))
        if message.interaction is not None:
            return self.timed.get(message.interaction.id)
        card = self.world.channels[message.channel_id].messages.get(message.reply_to or 0)
        if card is not None and card.interaction is not None:
            return self.timed.get(card.interaction.id)
        for user in message.mentions:
            waiting = self.by_member[user]
            while waiting and waiting[0].result_at is not None:
                waiting.popleft()
            if waiting:
                return waiting[0]
        return None

    def _report(self, seconds: float) -> Json:
        records = [entry.report() for entry in self.timed.values()]
        return {
            "seconds": round(seconds, 4),
            "records": records,
            "ack": summary([r["ack_ms"] for r in records]),
            "result": summary([r["result_ms"] for r in records]),
        }


def _response(interaction: Interaction) -> Json | None:
    return interaction.response


def summary(times: Sequence[float | None]) -> Json:
    """The number of times, the number of missing ones, and percentiles in milliseconds."""
    came = sorted(t for t in times if t is not None)

    def percentile(share: float) -> float | None:
        return came[min(len(came) - 1, int(share * len(came)))] if came else None

    return {
        "count": len(came),
        "missing": len(times) - len(came),
        "p50": percentile(0.5),
        "p95": percentile(0.95),
        "p99": percentile(0.99),
        "max": came[-1] if came else None,
    }
