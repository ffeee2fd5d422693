"""Log lines without secrets: whatever is written, keys, tokens and signed links are struck out of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

STRUCK = "***"

SHAPES = (
    re.compile(r"(?<=/webhooks/)(\d+/)[^/\s'\"]+"),
    re.compile(r"(?<=/interactions/)(\d+/)[^/\s'\"]+"),
    re.compile(r"()(?<=[?&])(?:ex|is|hm)=[0-9A-Za-z]+"),
    re.compile(r"(data:image/[a-z]+;base64,)[A-Za-z0-9+/=]+"),
    re.compile(r"(?i)((?:authorization|token|key)['\"]?[:=]\s*['\"]?(?:bot |key |bearer )?)[^\s'\",}]{8,}"),
)


class Redacting(logging.Formatter):
    """Formats a record as usual, its traceback included, and strikes secrets out of the text."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", style="{")
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """The record's text."""
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, STRUCK)
        for shape in SHAPES:
            text = shape.sub(rf"\1{STRUCK}", text)
        return text


class OneLine(logging.Filter):
    """discord.py writes a page about every interruption of the gateway; what it was called is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes."""
        if record.exc_info and record.exc_info[0] and str(record.msg).startswith("Attempting a reconnect"):
            record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
            record.exc_info = None
        return True


def configure(level: str, secrets: Sequence[str]) -> None:
    """Write to standard error, everything through the one formatter."""
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting(secrets))
    handler.addFilter(OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # aiosqlite writes every statement, httpx every URL, the signed ones too.
    for name in ("aiosqlite", "httpx"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
