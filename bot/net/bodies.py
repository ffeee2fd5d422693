"""Bodies of requests that are made while they are sent, so that pictures on disk need no memory."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bot.domain.content import Content, parts_of
from bot.domain.pictures import Picture


@dataclass(frozen=True, slots=True)
class DataUri:
    """A picture inside JSON (https://www.rfc-editor.org/rfc/rfc2397)."""

    picture: Picture

    def __len__(self) -> int:
        return len(self._head) + 4 * ((self.picture.size + 2) // 3)

    def parts(self) -> Iterator[bytes]:
        """Its characters, some at a time."""
        yield self._head
        rest = b""
        for part in parts_of(self.picture.stored):
            content = rest + part
            end = len(content) // 3 * 3
            rest = content[end:]
            yield base64.b64encode(content[:end])
        yield base64.b64encode(rest)

    @property
    def _head(self) -> bytes:
        return f"data:{self.picture.content_type};base64,".encode()


class Body(httpx.AsyncByteStream):
    """Pieces one after the other, as often as it is sent. `len` is in bytes."""

    def __init__(self, pieces: Sequence[Content | DataUri]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            for part in piece.parts() if isinstance(piece, DataUri) else parts_of(piece):
                yield part


def json_body(value: Any) -> Body:
    """JSON in which `DataUri`s may stand wherever texts may."""
    secret, found = secrets.token_hex(16), []

    def name(item: object) -> str:
        if not isinstance(item, DataUri):
            raise TypeError(type(item).__name__)
        found.append(item)
        return secret

    text = json.dumps(value, default=name).encode()
    first, *others = re.split(secret.encode(), text)
    pieces: list[Content | DataUri] = [first]
    for uri, piece in zip(found, others, strict=True):
        pieces += [uri, piece]
    return Body(pieces)
