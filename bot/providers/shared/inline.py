"""Pictures inside a request or a response: base64, or a data URI (https://www.rfc-editor.org/rfc/rfc2397)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from itertools import chain
from typing import Any, TypeGuard
from urllib.parse import unquote_to_bytes

from bot.domain.content import Content, Receiver
from bot.domain.errors import InvalidResponse
from bot.net.large_json import DiskText
from bot.providers.shared.http import OversizedResponse

PICTURE_LIMIT = 33_554_432
"""Bytes of one picture."""
Text = str | DiskText
_BLANKS = b" \t\r\n"


def is_text(value: Any) -> TypeGuard[Text]:
    """Whether a value of a response is a text, long or short."""
    return isinstance(value, Text)


def beginning(text: Text, size: int) -> str:
    """Its first characters. An error may repeat a picture, and its cause is named before."""
    return text[:size] if isinstance(text, str) else text.beginning(size)


def is_data_uri(text: Text) -> bool:
    """Whether it is a data URI."""
    return text[:5].lower() == "data:" if isinstance(text, str) else text.begins_with(b"data:")


def picture_in(text: Text, limit: int = PICTURE_LIMIT) -> Content:
    """The bytes in base64 or in a data URI, on disk where they are many. Slow for a large one.

    Raises:
        OversizedResponse: it holds more than `limit` bytes.
        InvalidResponse: it is neither.
    """
    receiver, size = Receiver(), 0
    try:
        for part in _decoded(text):
            size += len(part)
            if size > limit:
                raise OversizedResponse(detail="inline picture")
            receiver.append(part)
    except (binascii.Error, ValueError):
        raise InvalidResponse(detail="inline picture") from None
    return receiver.content()


def _decoded(text: Text) -> Iterator[bytes]:
    parts = iter([text.encode("ascii", "replace")]) if isinstance(text, str) else text.parts()
    if not is_data_uri(text):
        return _from_base64(parts)
    head, comma, data = next(parts, b"").partition(b",")
    if not comma:
        raise ValueError("no data")
    unquoted = _unquoted(chain([data], parts))
    return _from_base64(unquoted) if head.lower().endswith(b";base64") else unquoted


def _unquoted(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        quoted = rest + part
        # A percent sign and its two digits may be cut apart.
        end = quoted.rfind(b"%", max(0, len(quoted) - 2))
        end = len(quoted) if end < 0 else end
        rest = quoted[end:]
        yield unquote_to_bytes(quoted[:end])
    yield unquote_to_bytes(rest)


def _from_base64(parts: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        encoded = rest + part.translate(None, _BLANKS)
        end = len(encoded) // 4 * 4
        rest = encoded[end:]
        yield base64.b64decode(encoded[:end], validate=True)
    yield base64.b64decode(rest, validate=True)
