"""How Easel and a picture process talk: a line of JSON, then a picture's bytes, both after their lengths.

No pickle: what a process sends that has opened a hostile file is data and nothing else.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

from bot.domain.pictures import Picture

Head = dict[str, Any]
Answer = tuple[Head, bytes]
_LENGTHS = struct.Struct(">II")
_LONGEST_HEAD = 65_536
_LARGEST_CONTENT = 256 * 1024 * 1024


def send(stream: IO[bytes], head: Head, content: bytes = b"") -> None:
    """Write one message."""
    encoded = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(content)))
    stream.write(encoded)
    stream.write(content)
    stream.flush()


def receive(stream: IO[bytes]) -> Answer:
    """Read one message.

    Raises:
        EOFError: the other side has ended, or sends something else.
    """
    head_length, content_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if head_length > _LONGEST_HEAD or content_length > _LARGEST_CONTENT:
        raise EOFError
    head = json.loads(_exactly(stream, head_length))
    return head, _exactly(stream, content_length)


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
