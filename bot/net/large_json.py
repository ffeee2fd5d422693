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
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bot.domain.content import Content, DiskFile

LONG = 65_536
"""Bytes of a string that stays on disk; no prompt is so long."""
REST_LIMIT = 4_194_304
"""Bytes that a document on disk may have beside its long strings."""
VALUES_LIMIT = 100_000
"""Values that it may have; the longest list that a service sends has some thousand."""
WHOLE = 1_048_576
"""Bytes of a document on disk that is parsed like one in memory, which is faster."""
_COMPLETE = re.compile(rb"(?:[^\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+")
"""Characters and escapes, up to an escape that is not whole."""
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
"""What follows inside a string, up to its end or to a backslash whose character is not there."""
_TEXT = json.JSONDecoder(strict=False)
_LONGEST_ESCAPE = 6
_QUOTE = ord('"')


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
            found = _COMPLETE.match(escaped)
            end = found.end() if found else 0
            rest = escaped[end:]
            if len(rest) >= _LONGEST_ESCAPE:
                raise ValueError("no such escape")
            text: str = _TEXT.decode(f'"{escaped[:end].decode("latin-1")}"')
            yield text.encode("ascii", "replace")
        if rest:
            raise ValueError("half an escape")

    def beginning(self, size: int) -> str:
        """Its first characters; what is not ASCII is a "?"."""
        with suppress(ValueError):
            start = DiskText(self.file, self.start, min(self.size, _LONGEST_ESCAPE * size))
            return next(start.parts(), b"")[:size].decode("ascii", "replace")
        return ""

    def begins_with(self, start: bytes) -> bool:
        """Whether these are its first bytes, in small letters or in capitals."""
        return next(self.file.parts(self.start, len(start)), b"").lower() == start.lower()


def json_in(content: Content, *, lenient: bool = False) -> Any:
    """A document's value; None where it is no JSON. Of one on disk, long strings are `DiskText`s.

    A `lenient` reader takes what is no UTF-8 for replacement characters.
    """
    try:
        if isinstance(content, bytes) or len(content) <= WHOLE:
            whole = content if isinstance(content, bytes) else content.read()
            return None if _values_in(whole) > VALUES_LIMIT else _parsed(whole, lenient=lenient)
        document = _Document(content)
        value = _parsed(document.rest, lenient=lenient)
        return _filled(value, document.texts) if document.texts else value
    except (ValueError, RecursionError):
        return None


def _values_in(part: bytes, start: int = 0, end: int | None = None) -> int:
    """How many values there are at most, roughly."""
    return sum(part.count(sign, start, end) for sign in (b",", b"[", b"{"))


def _parsed(document: bytes | bytearray, *, lenient: bool) -> Any:
    return json.loads(document.decode("utf-8-sig", "replace") if lenient else document)


class _Document:
    """A document on disk: its long strings, and the rest with a name in the place of each."""

    def __init__(self, file: DiskFile) -> None:
        self.texts: dict[str, DiskText] = {}
        self.rest = bytearray()
        self._file = file
        self._secret = secrets.token_hex(16)
        self._values = 0
        self._opened: int | None = None
        """Where in the file the string begins that is being read."""
        self._kept = 0
        """How much of the rest stood before that string."""
        self._read()

    def _read(self) -> None:
        place, cut = 0, b""
        for part in self._file.parts():
            joined = cut + part
            # A backslash at the end says of the next part's first character that it ends no string.
            cut = self._take(joined, place)
            place += len(joined) - len(cut)
        self._keep(cut)

    def _take(self, part: bytes, place: int) -> bytes:
        """Take in a part of the file, which begins at `place`; returns what was cut off at its end."""
        done = 0
        while done < len(part):
            if self._opened is None:
                end = part.find(b'"', done) + 1 or len(part)
                self._count(part, done, end)
                self._keep(part[done:end])
                if part[end - 1] == _QUOTE:
                    self._opened, self._kept = place + end, len(self.rest)
            else:
                end = _end_of_string(part, done)
                self._keep(part[done:end])
                if part[end : end + 1] != b'"':
                    return part[end:]
                self._close(place + end)
                end += 1
            done = end
        return b""

    def _count(self, part: bytes, start: int, end: int) -> None:
        """A few characters may become a hundred bytes of memory, so there is a bound for values, too."""
        self._values += 1 + _values_in(part, start, end)
        if self._values > VALUES_LIMIT:
            raise ValueError("too many values")

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
            self.rest += name.encode()
        self.rest += b'"'


def _end_of_string(part: bytes, start: int) -> int:
    """Where the quote is that ends a string, or what is not whole; else the part's end."""
    quote = part.find(b'"', start)
    end = len(part) if quote < 0 else quote
    escape = part.find(b"\\", start, end)
    # To look for one character is fifty times as fast.
    found = _IN_STRING.match(part, escape) if escape >= 0 else None
    return found.end() if found else end


def _filled(value: Any, texts: dict[str, DiskText]) -> Any:
    """The value with its long strings in their places."""
    match value:
        case str():
            return texts.get(value, value)
        case list():
            return [_filled(item, texts) for item in value]
        case dict():
            return {name: _filled(item, texts) for name, item in value.items() if name not in texts}
        case _:
            return value
