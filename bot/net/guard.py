"""A resolver for aiohttp that keeps an allowed name from leading into a private net."""

from __future__ import annotations

import socket

from aiohttp import abc, resolver

from bot.net.hosts import AllowedHosts, is_private


class GuardedResolver(abc.AbstractResolver):
    """Drops private addresses, except those that the operator listed."""

    def __init__(self, hosts: AllowedHosts) -> None:
        self._hosts = hosts
        self._inner = resolver.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        """As aiohttp asks for it.

        Raises:
            OSError: nothing but private addresses.
        """
        found = await self._inner.resolve(host, port, family)
        allowed = [
            item for item in found if not is_private(item["host"]) or self._hosts.lists_address(item["host"])
        ]
        if not allowed:
            raise OSError("the name leads into a private net")
        return allowed

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()
