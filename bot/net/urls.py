"""Where a URL leads, provided that every parser on its way agrees."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import yarl

from bot.net.hosts import DEFAULT_PORTS

_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


class Origin(NamedTuple):
    """The host is lower-case ASCII, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int


def origin_of(url: httpx.URL | str) -> Origin:
    """The origin that a request for this URL would connect to.

    httpx reads a URL first, the list of hosts reads it with urllib, aiohttp connects by what yarl reads. A URL
    on which two of them differ is a way around the list, so it leads nowhere. Neither does one with credentials.

    Raises:
        httpx.UnsupportedProtocol: the scheme is neither http nor https.
        httpx.InvalidURL: no URL, or not clear where it leads. The message does not quote the URL.
    """
    return _origin_of(url if isinstance(url, str) else str(url))


@lru_cache(maxsize=256)
def _origin_of(text: str) -> Origin:
    # Each call checks a handful of URLs, nearly always the same ones: 35 microseconds each without the cache.
    try:
        first = httpx.URL(text)
        text = str(first)
        second, third = urlsplit(text), yarl.URL(text)
        readings = {
            # `host` decodes the name, and not every xn-- name can be.
            (first.scheme, first.host and first.raw_host.decode(), first.port or DEFAULT_PORTS.get(first.scheme)),
            (second.scheme, second.hostname or "", second.port or DEFAULT_PORTS.get(second.scheme)),
            (third.scheme, third.raw_host or "", third.port),
        }
        credentials = first.userinfo or second.username is not None or third.raw_user is not None
    except (httpx.InvalidURL, ValueError, TypeError):
        raise httpx.InvalidURL("not a URL") from None
    if first.scheme not in DEFAULT_PORTS:
        raise httpx.UnsupportedProtocol("neither http nor https")
    scheme, host, port = readings.pop()
    if readings or credentials or port is None or not _HOST.fullmatch(host):
        raise httpx.InvalidURL("not clear where the URL leads")
    return Origin(scheme, host, port)


def same_origin(url: httpx.URL | str, *others: str) -> bool:
    """Whether a URL has the scheme, host and port of one of `others`; False for what is no clear http(s) URL."""
    return _origin_or_none(url) in {_origin_or_none(other) for other in others} - {None}


def _origin_or_none(url: httpx.URL | str) -> Origin | None:
    try:
        return origin_of(url)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return None
