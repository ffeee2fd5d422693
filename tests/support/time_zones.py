"""Time zones with unusual days, and instants written as text."""

from __future__ import annotations

from datetime import datetime

from bot.domain.clock import Instant
from bot.domain.windows import Window

ZONES = (
    "UTC",
    "Africa/Cairo",
    "America/Asuncion",
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
ALL_WINDOWS: tuple[Window, ...] = ("day", "week", "month")


def instant(text: str) -> Instant:
    """The instant of an ISO 8601 time with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)
