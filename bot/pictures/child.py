"""What runs in a picture process: `python -m bot.pictures.child`. It imports Pillow and zlib-ng, nothing else.

Its standard input is a socket: it reads a task and a picture and writes a picture, one after the other, until the
other side ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable

from PIL import Image

from bot.domain.content import Content
from bot.domain.errors import BadSource, InvalidResponse
from bot.domain.pictures import Picture
from bot.pictures import wire
from bot.pictures.conversion import convert, fit, preview, shrink
from bot.pictures.errors import TooHeavy
from bot.pictures.inspection import inspect
from bot.pictures.masks import as_mask

MEMORY_LIMIT = 300 * 1024 * 1024
"""Bytes of data (RLIMIT_DATA) that a process may have; an idle one has 10 MB."""
_PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""

TASKS: dict[str, Callable[..., Picture | None]] = {
    "inspect": inspect,
    "preview": preview,
    "convert": convert,
    "fit": fit,
    "shrink": shrink,
    "mask": as_mask,
}


def main() -> None:
    """Work until the input ends."""
    if sys.platform == "linux":
        # The kernel ends this process together with the bot, also in the middle of a picture.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, hard))
    Image.MAX_IMAGE_PIXELS = None  # each picture is checked against our own limits
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        serve(connection)


def serve(connection: socket.socket) -> None:
    """Do one task after the other."""
    while True:
        try:
            head, content = wire.receive(connection)
        except EOFError:
            return
        reply, made = _answer(head, content)
        del content
        wire.send(connection, reply, made)
        del made
        if head["options"]["allowed"] > wire.LIGHT_BYTES:
            _give_memory_back()


def _give_memory_back() -> None:
    """Return what is free to the system, since the next heavy work may be another process's."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def _answer(head: wire.Head, content: Content) -> tuple[wire.Head, bytes]:
    picture = Picture(stored=content, **head["picture"])
    try:
        made = TASKS[head["task"]](picture, **head["options"])
    except BadSource as error:
        return {"bad_source": error.sentence}, b""
    except InvalidResponse as error:
        return {"invalid": error.detail}, b""
    except TooHeavy:
        return {"too_heavy": True}, b""
    if made is None:
        return {"picture": None}, b""
    same = made.stored is content
    return {"picture": wire.facts(made), "same": same}, b"" if same else made.content


if __name__ == "__main__":
    main()
