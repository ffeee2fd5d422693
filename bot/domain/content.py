"""The bytes of a picture that waits: in memory where they are few, else on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path

IN_MEMORY = 512 * 1024
"""Bytes of a picture that may wait in memory; a larger one waits on disk."""
_PART = 1024 * 1024


class DiskFile:
    """Bytes in a file without a name, in the system's folder for such: gone with its last user, and with us."""

    def __init__(self) -> None:
        self.number, path = tempfile.mkstemp(prefix="easel-")
        """The open file's descriptor, which another process may be handed."""
        Path(path).unlink()
        weakref.finalize(self, os.close, self.number)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, part: bytes) -> None:
        """Write more."""
        while part:
            written = os.pwrite(self.number, part, self._size)
            self._size += written
            part = part[written:]

    def parts(self) -> Iterator[bytes]:
        """The bytes from the first to the last, a MiB at a time."""
        for start in range(0, self._size, _PART):
            yield os.pread(self.number, _PART, start)

    def read(self) -> bytes:
        """All of it."""
        return os.pread(self.number, self._size, 0)

    def open(self) -> DiskReader:
        """To be read from its start, by one reader at a time."""
        opened = DiskReader(FileIO(os.dup(self.number), "rb"))
        opened.seek(0)
        return opened


class DiskReader(BufferedReader):
    """An open file that was written a moment ago, so that reading it waits for no disk."""


Content = bytes | DiskFile


class Receiver:
    """Takes bytes as they come: in memory while they are few, then on disk."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._file: DiskFile | None = None

    def append(self, part: bytes) -> None:
        """Take more."""
        self._size += len(part)
        if self._file is None and self._size > IN_MEMORY:
            self._file = DiskFile()
            for earlier in self._parts:
                self._file.append(earlier)
            self._parts = []
        if self._file is None:
            self._parts.append(part)
        else:
            self._file.append(part)

    def content(self) -> Content:
        """What has come."""
        return b"".join(self._parts) if self._file is None else self._file


def on_disk(content: bytes) -> Content:
    """The same bytes, on disk where they are many."""
    receiver = Receiver()
    receiver.append(content)
    return receiver.content()


def in_memory(content: Content) -> bytes:
    """The same bytes, in memory however many they are."""
    return content.read() if isinstance(content, DiskFile) else content
