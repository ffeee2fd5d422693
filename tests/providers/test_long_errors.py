"""An error may repeat the picture that it is about: what it says before is read all the same."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bot.net import large_json
from bot.net.http import read
from bot.net.large_json import json_in
from bot.providers.fal.errors import error_details as fal_details
from bot.providers.lumenfall.errors import error_details as lumenfall_details
from bot.providers.oxen.schemas import error_text, row_in
from tests.support.picture_files import on_disk

LINK = b"data:image/png;base64," + b"A" * 2_000_000


def found(document: bytes) -> Any:
    """The JSON of a document on disk."""
    return json_in(on_disk(document))


@pytest.mark.parametrize("long", [b"could not download \\u0022" + LINK, LINK])
def test_a_failed_row_says_why(long: bytes) -> None:
    row = row_in(found(b'{"status": "failed", "error_message": "' + long + b'"}'))
    assert row is not None
    assert ("could not download" in row.error) == long.startswith(b"could")
    assert len(row.error) < 3000


def test_a_long_text_among_others_is_read() -> None:
    body = found(b'{"error": {"message": "Blocked by our safety system: ' + LINK + b'", "code": 7}}')
    assert "safety system" in error_text(body)
    assert lumenfall_details(body).moderated


async def test_fals_details_are_read() -> None:
    content = b'{"detail": "Model x does not exist, was asked for ' + LINK + b'"}'
    sent = httpx.Request("GET", "https://fal.example/")
    response = await read(httpx.Response(404, content=_pieces(content), request=sent), 10_000_000)
    assert "model x does not exist" in fal_details(response).text
    assert len(fal_details(response).text) <= large_json.LONG


async def _pieces(content: bytes) -> Any:
    for place in range(0, len(content), 65_536):
        yield content[place : place + 65_536]


def test_a_beginning_that_is_none_is_empty() -> None:
    broken = found(b'{"error": "' + b"\\\\" * 10 + b"\\x" + b"A" * 2_000_000 + b'"}')
    assert error_text(broken) == ""
