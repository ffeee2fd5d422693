"""A CONNECT proxy for clients that use real host names: a local TLS port responds in their place."""

import asyncio
import contextlib
from typing import Self


class ConnectProxy:
    """With `HTTPS_PROXY=proxy.url`, port 443 of `hosts` is 127.0.0.1:`port`; other targets get 403."""

    def __init__(self, port: int, hosts: tuple[str, ...]) -> None:
        self.url = ""
        self.requested_hosts: list[str] = []
        """The host of each CONNECT, in order."""
        self._port = port
        self._hosts = hosts
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(writer.close)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            host, _, port = target.partition(":")
            self.requested_hosts.append(host)
            if method != "CONNECT" or host not in self._hosts or port != "443":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._port)
            stack.callback(target_writer.close)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pipe(reader, target_writer), _pipe(target_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
    writer.close()
