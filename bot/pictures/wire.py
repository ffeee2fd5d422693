"""How Easel and a picture process talk: a line of JSON, then a picture's bytes, both after their lengths.

No pickle: what a process sends that has opened a hostile file is data and nothing else.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

from bot.domain.content import Content, Receiver
from bot.domain.pictures import Picture

Head = dict[str, Any]
Answer = tuple[Head, Content]
_LENGTHS = struct.Struct(">II")
_LONGEST_HEAD = 65_536
_PART = 262_144
_LARGEST_CONTENT = 256 * 1024 * 1024


def send(stream: IO[bytes], head: Head, content: Content = b"") -> None:
    """Write one message; what is on disk does not come into memory."""
    encoded = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(content)))
    stream.write(encoded)
    for part in [content] if isinstance(content, bytes) else content.parts():
        stream.write(part)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Head, bytes]:
    """Read one message.

    Raises:
        EOFError: the other side has ended, or sends something else.
    """
    head, length = _head(stream)
    return head, _exactly(stream, length)


def receive_spooled(stream: IO[bytes]) -> Answer:
    """Read one message; large content is on disk then.

    Raises:
        EOFError: the other side has ended, or sends something else.
    """
    head, length = _head(stream)
    receiver = Receiver()
    while length > 0:
        part = _exactly(stream, min(length, _PART))
        receiver.append(part)
        length -= len(part)
    return head, receiver.content()


def _head(stream: IO[bytes]) -> tuple[Head, int]:
    head_length, content_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if head_length > _LONGEST_HEAD or content_length > _LARGEST_CONTENT:
        raise EOFError
    return json.loads(_exactly(stream, head_length)), content_length


def _exactly(stream: IO[bytes], length: int) -> bytes:
    content = stream.read(length)
    if len(content) != length:
        raise EOFError
    return content


def facts(picture: Picture) -> Head:
    """What a picture is, without its bytes."""
    return {
        "content_type": picture.content_type,
        "filename": picture.filename,
        "width": picture.width,
        "height": picture.height,
    }
