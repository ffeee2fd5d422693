"""Which hosts may be spoken to: patterns `host`, `*.host`, `host:port` and `host:*`.

A pattern without a port means the scheme's own port. A private address is reached only if it is listed as
such: no name pattern lets one in, whatever its name server says.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def is_private(address: str) -> bool:
    """Whether an IP address belongs to this machine or to a private net. False for a name."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return not parsed.is_global


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """A parsed list of patterns."""

    patterns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """Read a comma-separated list.

        Raises:
            ValueError: a pattern is not one of the four forms.
        """
        patterns = tuple(part.strip().lower() for part in text.split(",") if part.strip())
        for pattern in patterns:
            if "/" in pattern or pattern in {"*", "*."} or "*" in pattern.removeprefix("*.").removesuffix(":*"):
                raise ValueError(f"{pattern!r} is not a host, *.host, host:port or host:*")
        return cls(patterns)

    def allows(self, url: str) -> bool:
        """Whether an absolute http(s) URL may be fetched; https only, unless its host is listed with a port."""
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORTS[parts.scheme]
        except (KeyError, ValueError):
            return False
        host = (parts.hostname or "").lower()
        if not host or parts.username is not None:
            return False
        return any(self._matches(pattern, parts.scheme, host, port) for pattern in self.patterns)

    def lists_address(self, address: str) -> bool:
        """Whether an IP address itself, or localhost for a loopback one, stands in the list."""
        names = {address, f"[{address}]"}
        if ipaddress.ip_address(address).is_loopback:
            names.add("localhost")
        return any(_split(pattern)[0] in names for pattern in self.patterns)

    @staticmethod
    def _matches(pattern: str, scheme: str, host: str, port: int) -> bool:
        name, wanted = _split(pattern)
        if wanted is None and (scheme != "https" or port != DEFAULT_PORTS["https"]):
            return False
        if wanted not in (None, "*", str(port)):
            return False
        if name.startswith("*."):
            return host.endswith(name[1:]) and not is_private(host)
        return host == name.strip("[]")


def _split(pattern: str) -> tuple[str, str | None]:
    """Cut the port off a pattern; IPv6 addresses stand in brackets."""
    if pattern.startswith("["):
        name, _, rest = pattern.partition("]")
        return f"{name}]", rest.removeprefix(":") or None
    name, separator, port = pattern.partition(":")
    return name, port if separator else None
