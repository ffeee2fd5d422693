"""Server-sent events: read alike however they are cut, and never more than there is room for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.content import DiskFile
from bot.net.errors import ResponseTooLarge
from bot.net.sse import IDLE_LIMIT, Event, events, is_event_stream

ENDS = ("\n", "\r", "\r\n")


def response_of(chunks: AsyncIterator[bytes]) -> httpx.Response:
    return httpx.Response(200, content=chunks, request=httpx.Request("GET", "https://fal.example/events"))


async def arriving(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _read(chunks: Sequence[bytes], limit: int) -> list[Event | None]:
    return [event async for event in events(response_of(arriving(chunks)), limit)]


def read(*chunks: bytes, limit: int = 10_000) -> list[Event | None]:
    """All the events of a stream that came in these pieces."""
    return asyncio.run(_read(chunks, limit))


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"data: hello\n\n", [Event("message", "hello")]),
        (b"data:hello\n\n", [Event("message", "hello")]),
        (b"data:  two spaces\n\n", [Event("message", " two spaces")]),
        (b"event: done\ndata: 1\n\n", [Event("done", "1")]),
        (b"data: 1\nevent: done\n\n", [Event("done", "1")]),
        (b"event: a\nevent: b\ndata: 1\n\n", [Event("b", "1")]),
        (b"data: one\ndata: two\ndata\ndata:\n\n", [Event("message", "one\ntwo\n\n")]),
        (b"data: a: b:c\n\n", [Event("message", "a: b:c")]),
        # An event without data is none, and its name is forgotten.
        (b"event: ping\n\ndata: x\n\n", [Event("message", "x")]),
        (b"\n\n\n", []),
        (b"", []),
        (b"data\n\n", [Event("message", "")]),
        # What is not known is passed over.
        (b"id: 7\nretry: 9\nDATA: no\nfoo\ndata: x\n\n", [Event("message", "x")]),
        (b": keep-alive\n\n", [None]),
        (b":\n:\ndata: x\n: y\n\n", [None, None, None, Event("message", "x")]),
        # What was cut off never happened.
        (b"data: whole\n\ndata: half", [Event("message", "whole")]),
        (b"data: whole\n\ndata: half\n", [Event("message", "whole")]),
        (b"data: \xff\xfe\n\n", [Event("message", "\ufffd\ufffd")]),
        ("data: 雪 🦊\n\n".encode(), [Event("message", "雪 🦊")]),
        # Only these three end a line.
        ("data: a\u2028b\x0bc\x0cd\x85e\n\n".encode(), [Event("message", "a\u2028b\x0bc\x0cd\x85e")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, found: list[Event | None]) -> None:
    assert read(stream) == found


STREAM = ": hi#event: a#data: 1#data: 2##data: {}#:#event: c##data: last##"
FOUND = [None, Event("a", "1\n2"), None, Event("c", "{}"), Event("message", "last")]


@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_every_kind_of_line_end_means_the_same_wherever_the_stream_is_cut(end: str) -> None:
    stream = STREAM.replace("#", end).encode()
    assert read(stream) == FOUND
    assert read(*(stream[place : place + 1] for place in range(len(stream)))) == FOUND
    for place in range(len(stream) + 1):
        assert read(stream[:place], stream[place:]) == FOUND
        assert read(stream[:place], b"", stream[place:], b"") == FOUND
    for first, second in itertools.combinations(range(0, len(stream), 3), 2):
        assert read(stream[:first], stream[first:second], stream[second:]) == FOUND


@pytest.mark.parametrize("end", ENDS, ids=repr)
async def test_an_event_ends_at_its_empty_line_and_not_at_the_next_one(end: str) -> None:
    rest: asyncio.Queue[bytes] = asyncio.Queue()

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield await rest.get()

    rest.put_nowait(f"data: now{end}{end}".encode())
    async with asyncio.timeout(5):
        assert await anext(aiter(events(response_of(chunks()), 100))) == Event("message", "now")


texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)


@given(
    st.lists(st.none() | st.tuples(names, st.lists(texts, min_size=1, max_size=4)), max_size=6),
    st.lists(st.sampled_from(ENDS), min_size=1),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_whatever_is_written_is_read_back_in_any_pieces(
    sent: list[tuple[str, list[str]] | None], ends: list[str], sizes: list[int]
) -> None:
    lines: list[str] = []
    for item in sent:
        if item is None:
            lines.append(": comment")
        else:
            lines += [f"event: {item[0]}", *(f"data: {line}" for line in item[1]), ""]
    text, choice = "", itertools.cycle(ends)
    for line in lines:
        end = next(choice)
        # An empty line that ends in \n after one that ends in \r would be the second half of one end.
        text += line + ("\r" if text.endswith("\r") and not line and end == "\n" else end)
    stream, pieces = text.encode(), []
    for size in itertools.cycle(sizes):
        pieces.append(stream[:size])
        stream = stream[size:]
        if not stream:
            break
    expected = [None if item is None else Event(item[0], "\n".join(item[1])) for item in sent]
    assert read(*pieces) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 101],
        [b"data: ", *[b"x"] * 101],
        [b"data: " + b"x" * 40 + b"\n", b"data: " + b"x" * 60 + b"\n"],
        [b"data: 1\n"] * 20,
        [b":" + b"x" * 101 + b"\n"],
        [b"data: " + b"x" * 101 + b"\n\n"],
        [b"junk\n"] * 30,
    ],
)
def test_an_event_without_end_is_given_up_at_the_limit(chunks: list[bytes]) -> None:
    endless = itertools.chain(chunks, [b"\n\n"])
    with pytest.raises(ResponseTooLarge) as refused:
        read(*endless, limit=100)
    assert refused.value.request.method == "GET"


def test_the_limit_is_for_one_event_and_not_for_the_stream() -> None:
    event = b"data: " + b"x" * 90 + b"\n\n"
    assert len(read(*[event] * 50, limit=100)) == 50
    assert len(read(event * 50, limit=100)) == 50
    assert len(read(b": still here\n\n" * 50, limit=100)) == 50


def test_a_picture_of_eight_megabytes_in_small_pieces_does_not_block_the_loop() -> None:
    stream = b"data: " + b"x" * 8_000_000 + b"\n\n"
    pieces = [stream[place : place + 4096] for place in range(0, len(stream), 4096)]
    before = time.process_time()
    [event] = read(*pieces, limit=10_000_000)
    assert event is not None
    assert isinstance(event.data, DiskFile)
    assert len(event.data) == 8_000_000
    assert time.process_time() - before < 1


@pytest.mark.parametrize(
    ("data", "value"),
    [('{"a": [1]}', {"a": [1]}), ("[DONE]", None), ("", None), ("7", 7), ("[" * 100_000, None)],
)
async def test_data_is_json_or_nothing(data: str, value: object) -> None:
    assert await Event("message", data).json() == value


@pytest.mark.parametrize("first", [b"data: ", b"data:"])
async def test_a_large_event_waits_on_disk_and_is_read_from_there(first: bytes) -> None:
    picture = b"x" * 2_000_000
    stream = b"event: done\n" + first + b'{"picture": "' + picture + b'",\ndata: "more": 7}\n\ndata: small\n\n'
    pieces = [stream[place : place + 70_000] for place in range(0, len(stream), 70_000)]
    large, small = await _read(pieces, 10_000_000)
    assert large is not None
    assert (large.name, small) == ("done", Event("message", "small"))
    value = await large.json()
    assert (b"".join(value["picture"].parts()), value["more"]) == (picture, 7)


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream-not", False),
        ("application/json", False),
        (None, False),
    ],
)
def test_the_content_type_promises_events(content_type: str | None, streams: bool) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert is_event_stream(httpx.Response(200, headers=headers)) is streams


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b":\n", b"event: x\n\n", b"id: 7\n"])
def test_a_flood_without_an_event_is_too_much(line: bytes) -> None:
    with pytest.raises(ResponseTooLarge):
        read(*[line * 1000] * (IDLE_LIMIT // 1000 // len(line) * 3 + 1))


def test_events_in_between_make_any_number_of_comments_welcome() -> None:
    hour = b": keep-alive\n\n" * 240 + b"data: x\n\n"
    assert read(*[hour] * 100).count(Event("message", "x")) == 100


async def test_an_event_on_disk_with_a_character_that_was_cut_is_read_like_a_short_one() -> None:
    data = b'{"b64_json": "' + b"A" * 2_000_000 + b'", "revised_prompt": "sno\xe9\x9b"}'
    event = await anext(aiter(events(response_of(arriving([b"data: ", data, b"\n\n"])), 10_000_000)))
    assert event is not None
    assert isinstance(event.data, DiskFile)
    value = await event.json()
    assert value["revised_prompt"] == "sno\ufffd"
    assert value["b64_json"].size == 2_000_000


async def test_a_stream_of_very_many_lines_at_once_holds_up_nobody() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    lines = [b"data\n" * 13_000] * 20
    [event] = await _read([*lines, b"\n"], 10_000_000)
    counting.cancel()
    assert event is not None
    assert turns > 200
