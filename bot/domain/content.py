"""The bytes of a picture that waits: in memory where they are few, else on disk."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path

log = logging.getLogger(__name__)

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

    def read(self, size: int | None = None) -> bytes:
        """All of it, or the first bytes."""
        return os.pread(self.number, self._size if size is None else size, 0)

    def open(self) -> DiskReader:
        """To be read from its start, by one reader at a time."""
        opened = DiskReader(FileIO(os.dup(self.number), "rb"))
        opened.seek(0)
        return opened


class DiskReader(BufferedReader):
    """An open file that was written a moment ago, so that reading it waits for no disk."""


Content = bytes | DiskFile


class Receiver:
    """Takes bytes as they come: in memory while they are few, then on disk as far as there is room."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._file: DiskFile | None = None
        self._disk_is_full = False

    def append(self, part: bytes) -> None:
        """Take more."""
        self._size += len(part)
        self._parts.append(part)
        if self._size > IN_MEMORY and not self._disk_is_full:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        written = 0 if self._file is None else len(self._file)
        try:
            self._file = self._file or DiskFile()
            for part in self._parts:
                self._file.append(part)
            self._parts = []
        except OSError as error:
            # A picture may be paid for, so it is not lost for this.
            log.warning(
                "pictures wait in memory: the folder for temporary files takes no more (%s)", error.strerror
            )
            self._disk_is_full = True
            if self._file is not None:
                self._parts.insert(0, self._file.read(written))
                self._file = None

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
