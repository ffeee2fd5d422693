"""How Easel and a picture process talk: over a socket, JSON, then a picture's bytes, both after their lengths.

No pickle: what a process sends that has opened a hostile file is data and nothing else.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bot.domain.content import Content, DiskFile, Receiver
from bot.domain.pictures import Picture

Head = dict[str, Any]
Answer = tuple[Head, Content]
LIGHT_BYTES = 32_000_000
"""Memory of work that any process may do at any time: a PNG of 8 megapixels, a WebP of 2."""
_LENGTHS = struct.Struct(">II")
_LONGEST_HEAD = 65_536
_PART = 262_144
_LARGEST_CONTENT = 256 * 1024 * 1024


def send(connection: socket.socket, head: Head, content: Content = b"") -> None:
    """Write one message. Of content on disk the open file is handed over, and nothing is copied."""
    encoded = json.dumps(head).encode()
    lengths = _LENGTHS.pack(len(encoded), len(content))
    if isinstance(content, DiskFile):
        socket.send_fds(connection, [lengths], [content.number])
        connection.sendall(encoded)
    else:
        connection.sendall(lengths + encoded)
        connection.sendall(content)


def receive(connection: socket.socket) -> Answer:
    """Read one message; of a file that was handed over, nothing is read yet.

    Raises:
        EOFError: the other side has ended, or sends something else.
    """
    with _message(connection) as (head, length, file):
        return head, _exactly(connection, length) if file is None else DiskFile(os.dup(file), length)


def receive_spooled(connection: socket.socket) -> Answer:
    """Read one message with its content; large content is on disk then.

    Raises:
        EOFError: the other side has ended, or sends something else.
    """
    receiver = Receiver()
    with _message(connection) as (head, length, _):
        while length > 0:
            part = _exactly(connection, min(length, _PART))
            receiver.append(part)
            length -= len(part)
    return head, receiver.content()


@contextmanager
def _message(connection: socket.socket) -> Iterator[tuple[Head, int, int | None]]:
    """The head of a message, the length of its content, and the open file where that is in one."""
    lengths, files, _, _ = socket.recv_fds(connection, _LENGTHS.size, 1)
    try:
        yield (*_head(connection, lengths), files[0] if files else None)
    finally:
        for file in files:
            os.close(file)


def _head(connection: socket.socket, lengths: bytes) -> tuple[Head, int]:
    lengths += _exactly(connection, _LENGTHS.size - len(lengths))
    head_length, content_length = _LENGTHS.unpack(lengths)
    if head_length > _LONGEST_HEAD or content_length > _LARGEST_CONTENT:
        raise EOFError
    return json.loads(_exactly(connection, head_length)), content_length


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = bytearray(length)
    view, received = memoryview(content), 0
    while received < length:
        count = connection.recv_into(view[received:])
        if not count:
            raise EOFError
        received += count
    return bytes(content)


def facts(picture: Picture) -> Head:
    """What a picture is, without its bytes."""
    return {
        "content_type": picture.content_type,
        "filename": picture.filename,
        "width": picture.width,
        "height": picture.height,
    }
