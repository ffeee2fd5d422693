"""A result's files: how discord.py sends them, and how they are found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import discord
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from bot.chat.discord.messages.buttons import custom_id
from bot.chat.discord.messages.result import alt_text
from bot.domain.content import DiskReader
from bot.domain.jobs import Job
from bot.domain.pictures import Picture

_PART = 256 * 1024


@payload.payload_type(DiskReader, order=payload.Order.try_first)
class DiskPayload(payload.Payload):
    """A picture on disk as aiohttp sends it, read where it is sent: its own way is a thread for each part."""

    _value: DiskReader

    @property
    def size(self) -> int:
        """Bytes."""
        position = self._value.tell()
        size = self._value.seek(0, 2)
        self._value.seek(position)
        return size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Called by aiohttp for its own error messages only."""
        return ""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send all of it."""
        self._value.seek(0)
        while part := self._value.read(_PART):
            await writer.write(part)


def _file_prefix(job_id: int) -> str:
    """How the files of a job's result begin, so that they can be found again."""
    return f"easel-{job_id}-"


@contextmanager
def open_files(job: Job, pictures: Sequence[Picture]) -> Iterator[list[discord.File]]:
    """The pictures as files. discord.py leaves each in a reference cycle; closed, they hold no bytes there."""
    alt = alt_text(job.request)
    files = [
        discord.File(
            picture.open(),
            filename=f"{_file_prefix(job.id)}{number}.{picture.content_type.removeprefix('image/')}",
            description=alt,
            spoiler=job.request.spoiler,
        )
        for number, picture in enumerate(pictures, 1)
    ]
    try:
        yield files
    finally:
        for file in files:
            file.fp.close()


def is_result(message: discord.Message, job_id: int) -> bool:
    """Whether a message has the job's files or, where all pictures are links, its Delete button."""
    names = (attachment.filename.removeprefix("SPOILER_") for attachment in message.attachments)
    return any(name.startswith(_file_prefix(job_id)) for name in names) or any(
        child.custom_id == custom_id("delete", job_id)
        for row in message.components
        if isinstance(row, discord.ActionRow)
        for child in row.children
    )
