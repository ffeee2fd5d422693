"""Many interactions at once, and how long each took: the load side of the benchmarks."""

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
    """One interaction of a burst."""

    interaction: Interaction
    result_at: float | None = None
    message_id: int | None = None

    def report(self) -> Json:
        """Its times in milliseconds since the event was sent; None for what never came."""
        interaction = self.interaction
        answer = interaction.answer
        answered, result = interaction.answered_at, self.result_at
        return {
            "interaction": interaction.id,
            "member": interaction.user_id,
            "ack_ms": None if answered is None else round(interaction.age(answered) * 1000, 3),
            "ack_type": answer and answer["type"],
            "ephemeral": bool(answer and (answer["data"].get("flags") or 0) & 64),
            "result_ms": None if result is None else round(interaction.age(result) * 1000, 3),
            "message": self.message_id,
        }


class Burst:
    """Fires interactions and recognises their results.

    A result is a message of the bot with attachments that names the interaction in a file name
    (``easel-<id>-1.png``), is its answer, replies to its answer, or mentions its asker, in this order.
    """

    def __init__(self, world: World, interactions: Interactions) -> None:
        self.world = world
        self.interactions = interactions
        self.shots: dict[int, TimedInteraction] = {}
        self.by_member: dict[int, deque[TimedInteraction]] = defaultdict(deque)
        self.open = 0
        self.bell = Wakeup()

    async def run(
        self, spec: Json, n: int, rate: float | None, members: Sequence[int], until: str, within: float
    ) -> Json:
        """Fire ``n``, at once or ``rate`` a second, and wait until all have their answer or result."""
        options = {
            name: Blob.from_json(value) if isinstance(value, dict) else value
            for name, value in (spec.get("options") or {}).items()
        }
        spec = spec | {"options": options}
        begun = time.monotonic()
        self.world.observers.append(self._saw)
        try:
            for number in range(n):
                if rate:
                    await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                elif number % 20 == 19:
                    await asyncio.sleep(0)  # lets the socket write while the rest is being built
                self._fire(numbered(spec, number) | {"member": members[number % len(members)]})
            await self._settle(until, begun + within)
        finally:
            self.world.observers.remove(self._saw)
        return self._report(time.monotonic() - begun)

    def _fire(self, spec: Json) -> None:
        shot = TimedInteraction(interaction=self.interactions.start(spec))
        self.shots[shot.interaction.id] = shot
        self.by_member[shot.interaction.user_id].append(shot)
        self.open += 1

    async def _settle(self, until: str, deadline: float) -> None:
        try:
            for shot in self.shots.values():
                left = deadline - time.monotonic()
                await shot.interaction.bell.wait(partial(_answer, shot.interaction), left)
            if until == "result":
                await self.bell.wait(lambda: True if self.open == 0 else None, deadline - time.monotonic())
        except TimeoutError:
            return  # what is missing stays None in the report

    def _saw(self, message: Message) -> None:
        if message.author_id != self.world.bot.id or not message.files:
            return
        shot = self._whose(message)
        if shot is None or shot.result_at is not None:
            return
        shot.result_at, shot.message_id = time.monotonic(), message.id
        self.open -= 1
        if self.open == 0:
            self.bell.ring()

    def _whose(self, message: Message) -> TimedInteraction | None:
        for file in message.files:
            if found := _OWN_FILE.match(file.blob.filename):
                return self.shots.get(int(found[1]))
        if message.interaction is not None:
            return self.shots.get(message.interaction.id)
        card = self.world.channels[message.channel_id].messages.get(message.reply_to or 0)
        if card is not None and card.interaction is not None:
            return self.shots.get(card.interaction.id)
        for user in message.mentions:
            waiting = self.by_member[user]
            while waiting and waiting[0].result_at is not None:
                waiting.popleft()
            if waiting:
                return waiting[0]
        return None

    def _report(self, seconds: float) -> Json:
        records = [shot.report() for shot in self.shots.values()]
        return {
            "seconds": round(seconds, 4),
            "records": records,
            "ack": summary([r["ack_ms"] for r in records]),
            "result": summary([r["result_ms"] for r in records]),
        }


def _answer(interaction: Interaction) -> Json | None:
    return interaction.answer


def summary(times: Sequence[float | None]) -> Json:
    """How many came, how many did not, and the usual percentiles of their milliseconds."""
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
