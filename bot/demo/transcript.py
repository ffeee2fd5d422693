"""The demo's record: a page in Markdown that says who did what and who saw what, and the pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import discord

from bot.demo.stage import labels

KEPT = ("transcript.md", "easel.log", "easel.db", "easel.db-wal", "easel.db-shm")
"""What a run leaves in its folder beside the pictures."""
PICTURES = ("[0-9]-*.png", "[0-9][0-9]-*.png", "[0-9]-unfinished.webp", "[0-9][0-9]-unfinished.webp")
"""How the pictures are named, each led by its step's number."""


def clear(folder: Path) -> None:
    """Make the folder, and remove what an earlier run left in it; nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = (path for pattern in PICTURES for path in folder.glob(pattern))
    for path in (*(folder / name for name in KEPT), *pictures):
        path.unlink(missing_ok=True)


class Transcript:
    """Collects the scene. `names` says how each person's id reads."""

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        self._folder = folder
        self._names = names
        self._lines: list[str] = []
        self._step = 0

    def line(self, text: str) -> None:
        """A paragraph."""
        self._lines += [text, ""]

    def step(self, title: str) -> int:
        """A heading with the next number; the number begins the names of the pictures that belong to it."""
        self._step += 1
        self.line(f"## {self._step}. {title}")
        return self._step

    def seen(
        self, by: str, content: str, embeds: Sequence[discord.Embed] = (), buttons: Sequence[str] = ()
    ) -> None:
        """What Easel answered, and who could read it."""
        rows = self._readable(content).splitlines()
        for embed in embeds:
            rows += [
                f"**{embed.title}**",
                *(f"{item.name}: {self._readable(item.value or '')}" for item in embed.fields),
            ]
        if buttons:
            rows.append(" ".join(f"`[{label}]`" for label in buttons))
        self.line(f"{by} sees:")
        self.line("  \n".join(f"> {row}" for row in rows if row))

    async def result(self, message: discord.Message, name: str) -> list[Path]:
        """What Easel posted for everybody, and its pictures as files."""
        self.seen("Everybody", message.content, message.embeds, labels(message))
        paths = []
        for number, attachment in enumerate(message.attachments, 1):
            suffix = f"-{number}" if len(message.attachments) > 1 else ""
            paths.append(self.file(f"{name}{suffix}.png", await attachment.read()))
            self.line(f"![{attachment.description}]({paths[-1].name})")
        return paths

    def show(self, name: str, content: bytes) -> Path:
        """Keep a picture, and show it here."""
        path = self.file(name, content)
        self.line(f"![{name}]({path.name})")
        return path

    def file(self, name: str, content: bytes) -> Path:
        """Keep a picture, its name led by the step's number."""
        path = self._folder / f"{self._step}-{name}"
        path.write_bytes(content)
        return path

    def write(self) -> Path:
        """Put the page beside the pictures."""
        path = self._folder / "transcript.md"
        path.write_text("\n".join(self._lines), encoding="utf-8")
        return path

    def _readable(self, content: str) -> str:
        text = re.sub(r"<@!?(\d+)>", lambda found: f"@{self._names.get(int(found[1]), 'somebody')}", content)
        text = re.sub(r"<t:(\d+)(?::\w)?>", lambda found: _moment(int(found[1])), text)
        return re.sub(r"^-# (.*)$", r"<sub>\1</sub>", text, flags=re.MULTILINE)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %B %Y, %H:%M} UTC"
