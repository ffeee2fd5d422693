"""Has the members act on the stage, checks what they see, and writes both to the transcript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import discord
import simcord

from bot.demo.stage import EPHEMERAL, Stage, image_of, initial_response, labels
from bot.demo.transcript import Transcript


class DemoFailed(Exception):
    """The scene did not go as written; its message is one line."""


def expect(condition: bool, message: str) -> None:
    """Raise DemoFailed with the message unless the condition is met."""
    if not condition:
        raise DemoFailed(message)


def say(line: str) -> None:
    """Print a line to the terminal at once."""
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
        """Begin a step: a heading in the transcript, and the same or another line in the terminal."""
        say(f"{self.page.step(title)}. {line or title}")

    async def types(self, member: simcord.MemberActor, command: str, /, **options: Any) -> None:
        """Have a member type a command."""
        typed = "  ".join(f"{name}: {self._typed(value)}" for name, value in options.items())
        self.page.line(f"**{self._names[member.id]}** types `/{f'{command} {typed}'.strip()}`")
        await member.slash(self.stage.channel, command, **options)

    def _typed(self, value: Any) -> str:
        if isinstance(value, simcord.MemberActor):
            return f"@{self._names[value.id]}"
        return str(value[0] if isinstance(value, tuple) else value)

    def card(self) -> str:
        """The card that a request was answered with."""
        content = str(initial_response(self.stage.env)["content"])
        expect("left today" in content, "the first answer does not say what is left")
        self.page.seen("At once, everybody", content, buttons=["Cancel"])
        return content

    async def preview(self) -> None:
        """Wait for the card with the unfinished picture."""
        stage = self.stage
        pictures = len(stage.pictures())
        card = await stage.until(
            lambda: (
                next((card for card in stage.cards() if card.attachments), None)
                or (len(stage.pictures()) > pictures and "too late")
            )
        )
        if not isinstance(card, discord.Message):
            raise DemoFailed("the picture came before its card showed it unfinished")
        self.page.seen("While it is painted, everybody", card.content, buttons=labels(card))
        content = await card.attachments[0].read()
        expect(min(image_of(content).size) > 100, "the unfinished picture is no picture")
        say(f"   {self.page.show('unfinished.webp', content)}")

    def private(self, member: simcord.MemberActor) -> str:
        """The answer that a member alone sees."""
        response = initial_response(self.stage.env)
        expect(bool(response.get("flags", 0) & EPHEMERAL), "everybody sees an answer that is for one member")
        embeds = [discord.Embed.from_dict(embed) for embed in response.get("embeds") or ()]
        content = str(response.get("content") or "")
        self.page.seen(f"Only {self._names[member.id]}", content, embeds)
        return content

    async def result(self, name: str, pictures: int = 1) -> discord.Message:
        """Wait for the pictures, and save them."""
        self._results += 1
        message = await self.stage.picture(self._results)
        expect(len(message.attachments) == pictures, f"{pictures} pictures were asked for")
        for path in await self.page.result(message, name):
            expect(min(image_of(path.read_bytes()).size) >= 512, f"{path.name} is no picture")
            say(f"   {path}")
        await self.stage.catch_up()
        return message

    @contextmanager
    def painted_by(self, provider: str) -> Iterator[None]:
        """Check that meanwhile this provider completed one request, and the others none."""
        before = self.stage.providers.completed()
        yield
        after = self.stage.providers.completed()
        expected = before | {provider: before[provider] + 1}
        expect(after == expected, f"{provider} did not paint, or not alone: {after}")
