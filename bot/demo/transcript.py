"""The demo's transcript: what the members did and saw, as a Markdown page with the pictures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import discord

from bot.demo.stage import labels

FILES = ("transcript.md", "easel.log", "easel.db", "easel.db-wal", "easel.db-shm")
"""The files that a run leaves in its folder, beside the pictures."""
PICTURES = ("[0-9]-*.png", "[0-9][0-9]-*.png", "[0-9]-unfinished.webp", "[0-9][0-9]-unfinished.webp")
"""The pictures' names, which begin with the number of their step."""


def clear(folder: Path) -> None:
    """Create the folder, and remove an earlier run's files from it, but no others."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = (path for pattern in PICTURES for path in folder.glob(pattern))
    for path in (*(folder / name for name in FILES), *pictures):
        path.unlink(missing_ok=True)


class Transcript:
    """Collects the page. `names` are the members' names by their ids."""

    def __init__(self, folder: Path, names: Mapping[int, str]) -> None:
        self._folder = folder
        self._names = names
        self._lines: list[str] = []
        self._step = 0

    def line(self, text: str) -> None:
        """Add a paragraph."""
        self._lines += [text, ""]

    def step(self, title: str) -> int:
        """Add a heading with the next number, which is returned."""
        self._step += 1
        self.line(f"## {self._step}. {title}")
        return self._step

    def seen(
        self, by: str, content: str, embeds: Sequence[discord.Embed] = (), buttons: Sequence[str] = ()
    ) -> None:
        """Add a message of Easel's; `by` says which members see it."""
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
        """Add a result with its pictures; returns the paths of their files."""
        self.seen("Everybody", message.content, message.embeds, labels(message))
        paths = []
        for number, attachment in enumerate(message.attachments, 1):
            suffix = f"-{number}" if len(message.attachments) > 1 else ""
            paths.append(self.file(f"{name}{suffix}.png", await attachment.read()))
            self.line(f"![{attachment.description}]({paths[-1].name})")
        return paths

    def show(self, name: str, content: bytes) -> Path:
        """Save a picture and show it here."""
        path = self.file(name, content)
        self.line(f"![{name}]({path.name})")
        return path

    def file(self, name: str, content: bytes) -> Path:
        """Save a picture; the step's number begins the name of its file."""
        path = self._folder / f"{self._step}-{name}"
        path.write_bytes(content)
        return path

    def write(self) -> Path:
        """Write the page beside the pictures."""
        path = self._folder / "transcript.md"
        path.write_text("\n".join(self._lines), encoding="utf-8")
        return path

    def _readable(self, content: str) -> str:
        text = re.sub(r"<@!?(\d+)>", lambda found: f"@{self._names.get(int(found[1]), 'somebody')}", content)
        # How long that is from now stands behind the moment in parentheses.
        text = re.sub(r"(<t:(\d+):f>) \(<t:\2:R>\)", r"\1", text)
        text = re.sub(r"<t:(\d+)(?::\w)?>", lambda found: _moment(int(found[1])), text)
        return re.sub(r"^-# (.*)$", r"<sub>\1</sub>", text, flags=re.MULTILINE)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d %B %Y, %H:%M} UTC"
