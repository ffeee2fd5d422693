"""The ways in which an answer can be spoilt on the wire, the same for every stand-in."""

import zlib
from functools import lru_cache

from aiohttp import web

INGRESS_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


def page(status: int) -> web.Response:
    """An HTML page where JSON was expected."""
    return web.Response(status=status, text=INGRESS_PAGE, content_type="text/html")


def truncated(answer: web.Response) -> web.Response:
    """The first half of a JSON answer, as if it were all of it."""
    body = _bytes(answer)
    return web.Response(
        status=answer.status, body=body[: len(body) // 2], content_type=answer.content_type, headers=_more(answer)
    )


def huge(size: int) -> web.Response:
    """A JSON answer of a little more than `size` bytes."""
    return web.json_response({"images": [], "padding": "x" * size})


async def drop(request: web.Request) -> web.StreamResponse:
    """Close the connection without a byte of answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Promise the whole body, send half of it, and reset the connection."""
    body = _bytes(answer)
    headers = {**_more(answer), "Content-Length": str(len(body))}
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_type = answer.content_type
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response


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


def _bytes(answer: web.Response) -> bytes:
    body = answer.body
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    raise TypeError("only plain bodies can be spoilt")


def _more(answer: web.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("x-")}
