"""JSON on disk: the same value as any parser finds, with long strings left where they are."""

from __future__ import annotations

import base64
import json
import random
import time
import tracemalloc
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import content as content_module
from bot.net import large_json
from bot.net.large_json import DiskText, json_in
from tests.support.picture_files import on_disk


@pytest.fixture(autouse=True)
def _nothing_is_parsed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "WHOLE", -1)


def resolved(value: Any) -> Any:
    """The value with its long strings read."""
    match value:
        case DiskText():
            return b"".join(value.parts()).decode()
        case list():
            return [resolved(item) for item in value]
        case dict():
            return {name: resolved(item) for name, item in value.items()}
        case _:
            return value


ascii_texts = st.text(st.characters(max_codepoint=127))
values = st.recursive(
    st.none() | st.integers() | ascii_texts | st.sampled_from(["\\" * 9, '"\\"', "/" * 12, "\\u0041"]),
    lambda inner: st.lists(inner) | st.dictionaries(ascii_texts, inner),
)


@given(values, st.integers(1, 9), st.integers(0, 6), st.booleans())
def test_it_means_the_same_as_in_memory_wherever_it_is_cut(
    value: Any, part: int, long: int, escaped: bool
) -> None:
    document = json.dumps(value)
    if escaped:
        document = document.replace("/", "\\/")
    with patch.object(content_module, "_PART", part), patch.object(large_json, "LONG", long):
        found = json_in(on_disk(document.encode()))
        # A key that is long is no key of ours.
        keys = {key for key in _keys(value) if len(json.dumps(key)) - 2 > long}
        assert keys or resolved(found) == value


def _keys(value: Any) -> set[str]:
    match value:
        case list():
            return set().union(*map(_keys, value))
        case dict():
            return set(value).union(*map(_keys, value.values()))
        case _:
            return set()


@pytest.mark.parametrize(
    "document",
    [b"", b'{"a": ', b'{"a": "' + b"x" * 100_000, b"[" * 100_000, b"\xff", b'"' + b"\\" * 100_001 + b'"'],
)
def test_what_is_no_json_is_nothing(document: bytes) -> None:
    assert json_in(document) is None
    assert json_in(on_disk(document)) is None


@pytest.mark.parametrize("ending", [b"\\u12", b"\\", b"\\u12x4 and so on"])
def test_half_an_escape_is_an_error_where_it_is_read(ending: bytes) -> None:
    file = on_disk(b"x" * 100 + ending)
    with pytest.raises(ValueError, match="escape"):
        list(DiskText(file, 0, len(file)).parts())


def test_more_than_a_document_may_have_beside_long_strings_is_nothing() -> None:
    document = on_disk(b"[" + b'"short",' * 300 + b"1]")
    assert len(json_in(document)) == 301
    with patch.object(large_json, "REST_LIMIT", 1000):
        assert json_in(document) is None


@pytest.mark.parametrize("repeated", [b"[],", b'"",', b'"" ', b'{"":0},'])
def test_a_document_of_very_many_small_values_is_nothing(repeated: bytes) -> None:
    document = on_disk(b"[" + repeated * (3_000_000 // len(repeated)) + b"0]")
    tracemalloc.start()
    assert json_in(document) is None
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 5_000_000


@pytest.mark.parametrize("repeated", [b"\\", b'\\"', b"\\/", b"\\u0041"])
def test_a_string_of_nothing_but_escapes_takes_neither_long_nor_memory(repeated: bytes) -> None:
    text = repeated * (8_000_000 // len(repeated) // 2 * 2)
    document = on_disk(b'{"a": "' + text + b'"}')
    began = time.process_time()
    tracemalloc.start()
    size = sum(len(part) for part in json_in(document)["a"].parts())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == len(text) // (6 if b"u" in repeated else 2)
    assert time.process_time() - began < 5
    assert most < 5_000_000


@pytest.mark.parametrize("whole", [-1, 1_048_576])
def test_very_many_values_are_nothing_in_memory_either(whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "WHOLE", whole)
    document = b"[" + b"[]," * 150_000 + b"0]"
    assert json_in(document) is None
    assert json_in(on_disk(document)) is None


def test_what_is_small_is_read_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_json, "WHOLE", 1_000_000)
    assert json_in(on_disk(b'{"a": "' + b"x" * 900_000 + b'"}')) == {"a": "x" * 900_000}


def test_pictures_take_no_memory_until_they_are_read() -> None:
    picture = base64.b64encode(random.Random(1).randbytes(8_000_000))
    document = on_disk(b'{"data": [{"b64_json": "' + picture + b'"}, {"b64_json": "' + picture + b'"}]}')
    tracemalloc.start()
    found = json_in(document)
    size = sum(len(part) for item in found["data"] for part in item["b64_json"].parts())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 2 * len(picture)
    assert most < 5_000_000
