"""What every part of the fal stand-in asks: the time, the switches, the public hosts, whether a key is good."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from aiohttp import web

from bot.sandbox.fal.files import PublicHosts
from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.wire import FalError
from bot.sandbox.kit.faults import Fault

_KEY = re.compile(r"Key [^\s:]+:[^\s:]+")


class FalContext:
    """`hosts` tells what the URLs that are handed out begin with."""

    def __init__(self, options: FalOptions, hosts: Callable[[], PublicHosts]) -> None:
        self.options = options
        self.hosts = hosts
        self._ahead_of_time = 0.0

    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock."""
        return time.time() + self._ahead_of_time

    def age(self, seconds: float) -> None:
        """Put that clock forward."""
        self._ahead_of_time += seconds

    def strike(self, name: str, endpoint: str | None = None) -> Fault | None:
        """The switch, if it strikes now."""
        return self.options.faults.strike(name, now=self.now(), endpoint=endpoint)

    def has_come(self, dates: Mapping[str, str], endpoint: str) -> bool:
        """Whether the endpoint has a date in `dates` and that day (UTC) has begun."""
        day = dates.get(endpoint)
        return day is not None and datetime.fromtimestamp(self.now(), UTC).date() >= date.fromisoformat(day)

    def check_key(self, request: web.Request) -> None:
        """Failure 401 for a request without a good key."""
        given, key = request.headers.get("Authorization", ""), self.options.key
        good = given == f"Key {key}" if key is not None else _KEY.fullmatch(given)
        if not good or self.strike("unauthorized"):
            raise FalError(401, {"detail": "No user found for Key ID and Secret"})
