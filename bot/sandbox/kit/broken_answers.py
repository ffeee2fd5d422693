"""Broken responses and pictures: the same faults for every stand-in."""

import asyncio
import json
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from aiohttp import web

from bot.sandbox.kit.faults import Fault, Strike
from bot.sandbox.kit.pictures import Picture, decode, encode

_MEBIBYTE = 1024 * 1024
INGRESS_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


async def break_response(
    request: web.Request,
    response: web.Response,
    *,
    kind: str,
    strike: Strike,
    error: Callable[[Fault], Exception],
    dumps: Callable[[Any], str] = json.dumps,
) -> web.StreamResponse:
    """The response, or what the faults named `kind`_slow, `kind`_error, `kind`_html and so on turn it into.

    `error` builds the exception that the service's error response is made of, `dumps` writes its JSON.
    """
    if fault := strike(f"{kind}_slow"):
        await asyncio.sleep(fault.seconds_or(1))
    if fault := strike(f"{kind}_error"):
        raise error(fault)
    if fault := strike(f"{kind}_html"):
        return html_page(fault.status or 200)
    if fault := strike(f"{kind}_odd"):
        status, headers = fault.status or 200, _x_headers(response)
        return web.json_response(fault.body, status=status, headers=headers, dumps=dumps)
    if fault := strike(f"{kind}_huge"):
        return huge(fault.size or 32 * _MEBIBYTE)
    if strike(f"{kind}_truncated"):
        return truncated(response)
    if strike(f"{kind}_reset"):
        return await reset_midway(request, response)
    if fault := strike(f"{kind}_trickle"):
        return await trickle(request, response, fault)
    if fault := strike(f"{kind}_type"):
        response.content_type = str(fault.body or "text/html")
    return response


def html_page(status: int) -> web.Response:
    """Nginx's HTML page where JSON was expected."""
    return web.Response(status=status, text=INGRESS_PAGE, content_type="text/html")


def truncated(response: web.Response) -> web.Response:
    """A complete response whose body is the first half of the JSON."""
    body = _body(response)
    return web.Response(
        status=response.status,
        body=body[: len(body) // 2],
        content_type=response.content_type,
        headers=_x_headers(response),
    )


def huge(size: int) -> web.Response:
    """A JSON response of a little more than `size` bytes."""
    return web.json_response({"images": [], "padding": "x" * size})


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without sending a byte of the response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def reset_midway(request: web.Request, response: web.Response) -> web.StreamResponse:
    """Announce the whole body, send half of it, and reset the connection."""
    body = _body(response)
    headers = {**_x_headers(response), "Content-Length": str(len(body))}
    half = web.StreamResponse(status=response.status, headers=headers)
    half.content_type = response.content_type
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return half


async def trickle(request: web.Request, response: web.Response, fault: Fault) -> web.StreamResponse:
    """A slow loris: the whole body, `size` bytes (64) each `seconds` (0.2)."""
    body, step, pause = _body(response), fault.size or 64, fault.seconds or 0.2
    slow = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body))})
    slow.content_type = response.content_type
    await slow.prepare(request)
    for start in range(0, len(body), step):
        await slow.write(body[start : start + step])
        await asyncio.sleep(pause)
    return slow


def break_picture(picture: Picture, output_format: str, strike: Strike) -> Picture:
    """The picture, or what the faults not_a_picture, wrong_type and bomb turn it into."""
    if strike("not_a_picture"):
        return Picture(b"<html>The picture could not be found</html>", picture.width, picture.height)
    if strike("wrong_type"):
        other = "png" if output_format == "jpeg" else "jpeg"
        return Picture(encode(decode(picture.content), other), picture.width, picture.height)
    if fault := strike("bomb"):
        side = fault.count or 30_000
        return Picture(bomb(side), side, side)
    return picture


@lru_cache(maxsize=2)
def bomb(side: int) -> bytes:
    """A PNG of about a hundred kilobytes that unpacks to `side` x `side` pixels, one bit each."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes((1, 0, 0, 0, 0))
    packer = zlib.compressobj(6)
    row = bytes(1 + (side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _body(response: web.Response) -> bytes:
    body = response.body
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    raise TypeError("only a body of bytes can be broken")


def _x_headers(response: web.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.lower().startswith("x-")}
