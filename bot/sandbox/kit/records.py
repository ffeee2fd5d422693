"""What a stand-in may remember of a request: no pictures, no keys; and which requests are the same."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import Any

SECRET_FIELD = "openai_api_key"
_LONGEST_TEXT = 4_000


def redact(value: Any) -> Any:
    """The JSON value without pictures (a data URI becomes its type and length) and without OpenAI's key."""
    if isinstance(value, str):
        if value.startswith("data:"):
            head, _, data = value.partition(",")
            return f"{head},<{len(data)} characters>"
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}<{len(value)} characters>"
    if isinstance(value, list):
        return [redact(item) for item in value]
    if isinstance(value, dict):
        return {key: "<hidden>" if key == SECRET_FIELD else redact(item) for key, item in value.items()}
    return value


def duplicate_ids(requests: Iterable[tuple[Hashable, str]]) -> list[list[str]]:
    """The ids of requests with equal content, grouped, from pairs of content and id.

    A client that resends a submit without knowing whether it was accepted leaves such a group behind.
    """
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for content, request_id in requests:
        groups[content].append(request_id)
    return [ids for ids in groups.values() if len(ids) > 1]
