"""What a picture's file is called and what its header says; nothing is decoded."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath

from bot.domain.errors import BadSource
from bot.domain.requests import OutputFormat

TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}
"""Pillow's names of the formats that Easel takes, and what they are over HTTP."""
SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
}
KINDS: dict[OutputFormat, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF", "avif": "AVIF"}


HEADER = 30
"""Bytes in which `header_size` finds what it looks for."""


def header_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG or a WebP: Pillow reserves memory for them as soon as it opens the file."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        return None
    kind = content[12:16]
    if kind == b"VP8X":
        return (
            int.from_bytes(content[24:27], "little") + 1,
            int.from_bytes(content[27:30], "little") + 1,
        )
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def unreadable(filename: str) -> BadSource:
    """The refusal of a file that is no picture."""
    return BadSource(f"{shown(filename)} is not a picture Easel can read. Send a PNG, JPEG or WebP.")


def shown(filename: str) -> str:
    """A file's name as a member may read it."""
    name = "".join(character for character in filename if character.isprintable()).strip()
    return name[:77] + "…" if len(name) > 78 else name or "The file"


def renamed(filename: str, suffix: str) -> str:
    """The name with the ending of its content's type."""
    path = PurePosixPath(filename.replace("\\", "/"))
    if path.suffix.lower() == suffix or (suffix == ".jpg" and path.suffix.lower() == ".jpeg"):
        return path.name
    return f"{path.stem or 'picture'}{suffix}"
