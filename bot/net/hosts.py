"""Hosts that a client may reach: patterns `host`, `*.host`, `host:port` and `host:*`.

A pattern without a port means the scheme's own port. A private address is reached only if it is listed
itself: no name pattern lets one in, whatever its name server says.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# Python 3.11.7 takes these for public: services of a cloud (192.0.0.192 at Oracle, 168.63.129.16 at
# Azure), site-local addresses, and IPv6 addresses that a gateway turns into IPv4 ones.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(net)
    for net in ("192.0.0.0/24", "168.63.129.16/32", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10")
)


def is_private(address: str) -> bool:
    """Whether an IP address belongs to this machine or to a private net. False for a name."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return not parsed.is_global or parsed.is_multicast or any(parsed in net for net in _NOT_PUBLIC)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """A parsed list of patterns."""

    patterns: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.patterns)

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

    def with_url(self, url: str) -> AllowedHosts:
        """The same list with the host and port of an http(s) URL."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        plain = parts.scheme == "https" and port == DEFAULT_PORTS["https"]
        return AllowedHosts((*self.patterns, f"{host}" if plain else f"{host}:{port}"))

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
