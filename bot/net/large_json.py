"""JSON that may be larger than memory should be: in a document on disk, long strings stay where they are.

Responses carry pictures as base64, four of nine megabytes in one, and repeat those that were sent in. No parser
that was looked at (json, orjson, ijson, json-stream) leaves such a string on disk: all of them need it whole, and
most of them several times. So the long strings are found first, and what is left is a few kB for the json module.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bot.domain.content import Content, DiskFile

LONG = 65_536
"""Bytes of a string that stays on disk; no prompt is so long."""
REST_LIMIT = 4_194_304
"""Bytes that a document on disk may have beside its long strings."""
_WHOLE = re.compile(rb"(?:[^\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+")
"""Characters and escapes, up to an escape that is not whole."""
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_LONGEST_ESCAPE = 6
_BACKSLASH = ord("\\")


@dataclass(frozen=True, slots=True)
class DiskText:
    """A long string, as it stands in a document on disk."""

    file: DiskFile
    start: int
    size: int

    def parts(self) -> Iterator[bytes]:
        """Its bytes, some at a time, escapes resolved. Made for ASCII: other escaped characters become a "?".

        Raises:
            ValueError: an escape is none.
        """
        rest = b""
        for part in self.file.parts(self.start, self.size):
            if not rest and b"\\" not in part:
                yield part
                continue
            escaped = rest + part
            found = _WHOLE.match(escaped)
            end = found.end() if found else 0
            rest = escaped[end:]
            if len(rest) >= _LONGEST_ESCAPE:
                raise ValueError("no such escape")
            yield _ESCAPE.sub(_unescaped, escaped[:end])
        if rest:
            raise ValueError("half an escape")

    def begins_with(self, start: bytes) -> bool:
        """Whether these are its first bytes, in small letters or in capitals."""
        return next(self.file.parts(self.start, len(start)), b"").lower() == start.lower()


def json_in(content: Content) -> Any:
    """A document's value; None where it is no JSON. Of one on disk, long strings are `DiskText`s."""
    try:
        if isinstance(content, bytes):
            return json.loads(content)
        document = _Document(content)
        value = json.loads(document.rest)
        return _filled(value, document.texts) if document.texts else value
    except (ValueError, RecursionError):
        return None


class _Document:
    """A document on disk: its long strings, and the rest with a name in the place of each."""

    def __init__(self, file: DiskFile) -> None:
        self.texts: dict[str, DiskText] = {}
        self.rest = bytearray()
        self._file = file
        self._secret = secrets.token_hex(16)
        self._opened: int | None = None
        """Where in the file the string begins that is being read."""
        self._kept = 0
        """How much of the rest stood before that string."""
        self._read()

    def _read(self) -> None:
        place, backslashes = 0, b""
        for part in self._file.parts():
            # Backslashes at the end of a part say whether the first quote of the next one ends its string.
            part = backslashes + part
            backslashes = part[len(part.rstrip(b"\\")) :]
            part = part.removesuffix(backslashes) if backslashes else part
            self._take(part, place)
            place += len(part)
        self._keep(backslashes)

    def _take(self, part: bytes, place: int) -> None:
        """Take in a part of the file, which begins at `place`."""
        done = 0
        while (quote := part.find(b'"', done)) >= 0:
            self._keep(part[done : quote + 1])
            done = quote + 1
            if self._opened is None:
                self._opened, self._kept = place + done, len(self.rest)
            elif not _is_escaped(part, quote):
                self._close(place + quote)
        self._keep(part[done:])

    def _keep(self, piece: bytes) -> None:
        if self._opened is not None and len(self.rest) - self._kept > LONG:
            return
        self.rest += piece
        if len(self.rest) > REST_LIMIT + len(piece):
            raise ValueError("too much beside long strings")

    def _close(self, place: int) -> None:
        """The string that is being read has ended before the quote at `place`."""
        start, self._opened = self._opened or 0, None
        if place - start > LONG:
            name = f"{self._secret}-{len(self.texts)}"
            self.texts[name] = DiskText(self._file, start, place - start)
            del self.rest[self._kept :]
            self.rest += f'{name}"'.encode()


def _is_escaped(part: bytes, quote: int) -> bool:
    first = quote
    while first and part[first - 1] == _BACKSLASH:
        first -= 1
    return (quote - first) % 2 == 1


def _unescaped(escape: re.Match[bytes]) -> bytes:
    text: str = json.loads(b'"' + escape[0] + b'"')
    return text.encode("ascii", "replace")


def _filled(value: Any, texts: dict[str, DiskText]) -> Any:
    """The value with its long strings in their places."""
    match value:
        case str():
            return texts.get(value, value)
        case list():
            return [_filled(item, texts) for item in value]
        case dict():
            return {name: _filled(item, texts) for name, item in value.items()}
        case _:
            return value
