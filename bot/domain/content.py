"""The bytes of a picture that waits: in memory where they are few, else on disk."""

from __future__ import annotations

import logging
import os
import tempfile
import weakref
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

IN_MEMORY = 512 * 1024
"""Bytes of a picture that may wait in memory; a larger one waits on disk."""
READ_AT_ONCE = 65_536
_PART = 256 * 1024


class DiskFile:
    """Bytes in a file without a name, in the system's folder for such: gone with its last user, and with us."""

    def __init__(self, number: int | None = None, size: int = 0) -> None:
        """A new file, or one that is open already and has so many bytes; that one is closed with it."""
        if number is None:
            number, path = tempfile.mkstemp(prefix="easel-")
            Path(path).unlink()
        self.number = number
        """The open file's descriptor, which another process may be handed."""
        weakref.finalize(self, os.close, number)
        self._size = size

    def __len__(self) -> int:
        return self._size

    def append(self, part: bytes | bytearray) -> None:
        """Write more."""
        while part:
            written = os.pwrite(self.number, part, self._size)
            self._size += written
            part = part[written:]

    def parts(self, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """So many bytes from `start` on, all if none are named, some at a time."""
        end = self._size if size is None else start + size
        for place in range(start, end, _PART):
            yield os.pread(self.number, min(_PART, end - place), place)

    def read(self, size: int | None = None) -> bytes:
        """All of it, or the first bytes."""
        return os.pread(self.number, self._size if size is None else size, 0)

    def open(self) -> DiskReader:
        """To be read from its start, by any number of readers."""
        return DiskReader(self)


class DiskReader(BufferedReader):
    """Reads a file that was written a moment ago, so that it waits for no disk."""

    def __init__(self, file: DiskFile) -> None:
        super().__init__(_RawReader(file), READ_AT_ONCE)


class _RawReader(RawIOBase):
    """A place in a file, of this reader alone; closed, it holds the file no longer."""

    def __init__(self, file: DiskFile) -> None:
        self._file: DiskFile | None = file
        self._size = len(file)
        self._place = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes before the next read."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read from there on."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, origin + offset)
        return self._place

    def readall(self) -> bytes:
        """Read the rest, at once: pieces of it would need as much memory once more."""
        if self._file is None:
            raise ValueError("closed")
        rest = os.pread(self._file.number, max(0, self._size - self._place), self._place)
        self._place += len(rest)
        return rest

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes into a buffer; returns how many there were."""
        if self._file is None:
            raise ValueError("closed")
        count = os.preadv(self._file.number, [buffer], self._place)
        self._place += count
        return count

    def close(self) -> None:
        """Read no more."""
        self._file = None
        super().close()


Content = bytes | DiskFile


class Receiver:
    """Takes bytes as they come: in memory while they are few, then on disk as far as there is room."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: DiskFile | None = None
        self._disk_is_full = False

    def append(self, part: bytes) -> None:
        """Take more."""
        if self._file is None:
            self._memory += part
            if len(self._memory) > IN_MEMORY and not self._disk_is_full:
                self._move_to_disk()
            return
        written = len(self._file)
        try:
            self._file.append(part)
        except OSError as error:
            self._stay_in_memory(error)
            self._memory += self._file.read(written) + part
            self._file = None

    def _move_to_disk(self) -> None:
        try:
            file = DiskFile()
            file.append(self._memory)
        except OSError as error:
            self._stay_in_memory(error)
        else:
            self._file, self._memory = file, bytearray()

    def _stay_in_memory(self, error: OSError) -> None:
        # A picture may be paid for, so it is not lost for this.
        log.warning("pictures wait in memory: the folder for temporary files takes no more (%s)", error.strerror)
        self._disk_is_full = True

    def content(self) -> Content:
        """What has come."""
        return bytes(self._memory) if self._file is None else self._file


def parts_of(content: Content) -> Iterator[bytes]:
    """The same bytes, some at a time; at least one part."""
    return content.parts() if isinstance(content, DiskFile) else iter([content])
