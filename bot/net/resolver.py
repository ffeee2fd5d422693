"""Which hosts and addresses a client may reach, checked before a single byte is sent."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import httpx
from aiohttp import AddrInfoType, abc, resolver

from bot.net.hosts import AllowedHosts, is_private
from bot.net.urls import origin_of

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class DestinationRefused(httpx.ConnectError):
    """A host that is not on the client's list, or a private address. Nothing has left, nor would later."""


class PrivateAddress(OSError):
    """Raised where a socket would be opened; the transport makes it a `DestinationRefused`."""


class Destinations:
    """The `hosts` of a list, at public addresses or listed ones, and the APIs at `base_urls`, at any address.

    The operator sets the base URLs and may run such an API in a private net. A name on the list may be another
    party's, so its name server cannot lead the client into one.
    """

    def __init__(self, hosts: AllowedHosts, base_urls: Sequence[str] = ()) -> None:
        """Raise httpx.InvalidURL or httpx.UnsupportedProtocol where a base URL is no clear http(s) URL."""
        self._hosts = hosts
        self._origins = frozenset(origin_of(url) for url in base_urls)
        self._names = frozenset(origin.host for origin in self._origins)
        self._addresses = set(self._names)

    async def check(self, request: httpx.Request) -> None:
        """An httpx event hook that refuses a request to any other host.

        Raises:
            DestinationRefused: the host is not on the list.
            httpx.InvalidURL, httpx.UnsupportedProtocol: as `origin_of`.
        """
        try:
            origin = origin_of(request.url)
        except httpx.UnsupportedProtocol as error:
            error.request = request
            raise
        if origin not in self._origins and not self._hosts.allows(str(request.url)):
            raise DestinationRefused("host not allowed", request=request)

    def remember(self, host: str, addresses: Sequence[str]) -> None:
        """Note the addresses of a base URL's name; those of other names are passed over."""
        if host.rstrip(".").lower() in self._names:
            self._addresses.update(addresses)

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for one address that the connector is about to use. Every connection passes here.

        Raises:
            PrivateAddress: the address is private, and the operator did not list it.
        """
        family, kind, protocol, _, (address, *_) = info
        text = str(address)
        if text not in self._addresses and _is_private(text) and not self._hosts.lists_address(text):
            raise PrivateAddress("private address")
        return socket.socket(family, kind, protocol)


def _is_private(address: str) -> bool:
    """Whether an IP address is private, or an IPv6 one that a gateway turns into a private IPv4 one."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.sixtofour
        if parsed in _NAT64:
            embedded = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if embedded is not None and is_private(str(embedded)):
            return True
    return is_private(address)


class Resolver(abc.AbstractResolver):
    """The system's resolver; the destinations remember the addresses that it finds."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._inner = resolver.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        """Called by aiohttp."""
        found = await self._inner.resolve(host, port, family)
        self._destinations.remember(host, [item["host"] for item in found])
        return found

    async def close(self) -> None:
        """Nothing is open."""
        await self._inner.close()
