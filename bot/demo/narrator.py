"""Plays on the stage and tells it: who did what, who saw what, and whether it was as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import discord
import simcord

from bot.demo.stage import Stage, first_answer, image_of, labels
from bot.demo.transcript import Transcript

PRIVATE = 64
"""The flag of a message that only one person sees."""


class DemoFailed(Exception):
    """The scene is not as it should be; one line that says how."""


def expect(fine: bool, sentence: str) -> None:
    """Raise DemoFailed with the sentence unless all is fine."""
    if not fine:
        raise DemoFailed(sentence)


def say(line: str) -> None:
    """To whoever started the demo, at once."""
    print(line, flush=True)


class Narrator:
    """The stage, and the transcript of what happens on it."""

    def __init__(self, stage: Stage, output: Path) -> None:
        self.stage = stage
        self._names = {stage.nora.id: "Nora", stage.theo.id: "Theo", stage.mika.id: "Mika"}
        self._names[stage.env.backend.bot_user.id] = "Easel"
        self.page = Transcript(output, self._names)
        self._results = 0

    def step(self, title: str, line: str = "") -> None:
        """What comes next: a heading, and for the terminal the same or a line of its own."""
        say(f"{self.page.step(title)}. {line or title}")

    async def types(self, who: simcord.MemberActor, command: str, **options: Any) -> None:
        """A person types a command."""
        words = "  ".join(f"{name}: {self._typed(value)}" for name, value in options.items())
        self.page.line(f"**{self._names[who.id]}** types `/{f'{command} {words}'.strip()}`")
        await who.slash(self.stage.channel, command, **options)

    def _typed(self, value: Any) -> str:
        if isinstance(value, simcord.MemberActor):
            return f"@{self._names[value.id]}"
        return str(value[0] if isinstance(value, tuple) else value)

    def card(self) -> str:
        """The first answer to a request for pictures."""
        content = str(first_answer(self.stage.env)["content"])
        expect("left today" in content, "the first answer does not say what is left")
        self.page.seen("At once, everybody", content, buttons=["Cancel"])
        return content

    async def unfinished(self) -> None:
        """The card with the picture as far as it is painted."""
        stage = self.stage
        pictures = len(stage.pictures())
        card = await stage.until(
            lambda: (
                next((card for card in stage.cards() if card.attachments), None)
                or (len(stage.pictures()) > pictures and "too late")
            )
        )
        if not isinstance(card, discord.Message):
            raise DemoFailed("the picture came without having been seen while it was painted")
        self.page.seen("While it is painted, everybody", card.content, buttons=labels(card))
        content = await card.attachments[0].read()
        expect(min(image_of(content).size) > 100, "the unfinished picture is no picture")
        say(f"   {self.page.show('unfinished.webp', content)}")

    def private(self, who: simcord.MemberActor) -> str:
        """What a person is answered and nobody else sees."""
        answer = first_answer(self.stage.env)
        expect(bool(answer.get("flags", 0) & PRIVATE), "everybody sees what is for one person")
        embeds = [discord.Embed.from_dict(embed) for embed in answer.get("embeds") or ()]
        content = str(answer.get("content") or "")
        self.page.seen(f"Only {self._names[who.id]}", content, embeds)
        return content

    async def result(self, name: str, pictures: int = 1) -> discord.Message:
        """The pictures, once they are there."""
        self._results += 1
        message = await self.stage.picture(self._results)
        expect(len(message.attachments) == pictures, f"{pictures} pictures were asked for")
        for path in await self.page.result(message, name):
            expect(min(image_of(path.read_bytes()).size) >= 1024, f"{path.name} is no picture")
            say(f"   {path}")
        await self.stage.catch_up()
        return message

    @contextmanager
    def painted_by(self, service: str) -> Iterator[None]:
        """What happens meanwhile is one request, and this service alone has carried it out."""
        before = self.stage.services.painted()
        yield
        after = self.stage.services.painted()
        expect(after == before | {service: before[service] + 1}, f"{service} did not paint, or not alone: {after}")
