"""What every part of fal's stand-in uses: the options, the clock, the faults, the public hosts, the key check."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from bot.sandbox.fal.models import ENDPOINTS
from bot.sandbox.fal.models.base import ImageInput
from bot.sandbox.fal.options import FalOptions, PublicHosts
from bot.sandbox.fal.wire import FalError
from bot.sandbox.kit.faults import ModelStrike

_KEY = re.compile(r"Key [^\s:]+:[^\s:]+")


class FalContext:
    """`hosts` returns the bases of the URLs to hand out, `now` the seconds since 1970 by the stand-in's clock."""

    def __init__(
        self,
        options: FalOptions,
        hosts: Callable[[], PublicHosts],
        now: Callable[[], float],
        strike: ModelStrike,
    ) -> None:
        self.options = options
        self.hosts = hosts
        self.now = now
        self.strike = strike

    def has_come(self, dates: Mapping[str, str], endpoint: str) -> bool:
        """Whether the endpoint has a date in `dates` and that day (UTC) has begun."""
        day = dates.get(endpoint)
        return day is not None and datetime.fromtimestamp(self.now(), UTC).date() >= date.fromisoformat(day)

    def parse(self, endpoint: str, body: Any) -> ImageInput:
        """The parameters, by the schema as it is now; FalError 422."""
        return ENDPOINTS[endpoint].parse(body, self.options.dropped_fields.get(endpoint, ()))

    def check_key(self, request: web.Request) -> None:
        """FalError 401 for a request without a valid key."""
        sent, key = request.headers.get("Authorization", ""), self.options.key
        valid = sent == f"Key {key}" if key is not None else _KEY.fullmatch(sent)
        if not valid or self.strike("unauthorized"):
            raise FalError(401, {"detail": "No user found for Key ID and Secret"})
