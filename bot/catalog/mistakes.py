"""Mistakes in catalogue files, in sentences that say what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic_core import ErrorDetails

from bot.catalog.table import CatalogModel

_LONGEST = 80
"""Characters of a key that are shown."""
_ADVICE = {
    "int_": "write a whole number",
    "float_": "write a number",
    "bool_": "write true or false",
    "string_type": "write it in quotation marks",
    "string_pattern": "write small letters, digits, dots and dashes, 60 at most",
    "string_too_short": "it is empty",
    "date_": "write a day like 2026-12-01",
    "tuple_type": "write it as a list, in square brackets",
    "dict_type": "write it as a table",
    "model_type": "write it as a table",
    "too_short": "it is empty",
}
"""What would be right, by the beginning of the kinds of pydantic's errors."""


def mistake_line(file: str, place: Sequence[str], said: str) -> str:
    """The whole line that the operator reads."""
    shown = ".".join(part if len(part) <= _LONGEST else f"{part[:_LONGEST]}…" for part in place)
    return f"{file} is not valid at {shown or 'the file'}: {said}."


def one_line(mistake: str) -> str:
    """A mistake as one line: names and values may hold anything."""
    shown = (letter if letter.isprintable() else " " for letter in mistake)
    return " ".join("".join(shown).split())


def toml_sentence(error: ValueError) -> str:
    """What is wrong with a file that is no TOML."""
    said = str(error)
    return f"{said}; text stands in quotation marks" if said.startswith("Invalid value") else said


def sentence(error: ErrorDetails, schema: type[CatalogModel]) -> str:
    """What is wrong by the `schema` of the whole file, and what would be right."""
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(schema, [str(part) for part in error["loc"]])
        case "missing":
            return "it is missing"
        case "literal_error":
            return f"choose {error['ctx']['expected']}"
        case "greater_than_equal":
            return f"write a number that is at least {error['ctx']['ge']}"
        case "less_than_equal":
            return f"write a number that is at most {error['ctx']['le']}"
        case "string_too_long":
            return f"write at most {error['ctx']['max_length']} characters"
        case kind:
            advice = (words for start, words in _ADVICE.items() if kind.startswith(start))
            return next(advice, error["msg"].removeprefix("Value error, "))


def _unknown_key(schema: type[CatalogModel], loc: Sequence[str]) -> str:
    *tables, key = loc
    here = schema
    for name in tables:  # a number in a list and a name in a table stay in the same kind of table
        here = next(_tables_in(_annotation(here, name)), here)
    if near := get_close_matches(key, here.model_fields, 1):
        return f"this key has no meaning, perhaps {near[0]} is meant"
    if home := next((place for place, kind in _all_tables(schema, "") if key in kind.model_fields), ""):
        return f"this key has no meaning here; it belongs to {home}"
    return f"this key has no meaning; choose {', '.join(here.model_fields)}"


def _annotation(kind: type[CatalogModel], name: str) -> Any:
    return kind.model_fields[name].annotation if name in kind.model_fields else None


def _tables_in(annotation: Any) -> Iterator[type[CatalogModel]]:
    """The kind of table in an annotation such as `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, CatalogModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables_in(inner)


def _all_tables(kind: type[CatalogModel], place: str) -> Iterator[tuple[str, type[CatalogModel]]]:
    """Every kind of table with its heading, the outer ones first."""
    found = [
        (f"{place}.{name}".lstrip("."), inner)
        for name in kind.model_fields
        for inner in _tables_in(_annotation(kind, name))
    ]
    yield from found
    for heading, inner in found:
        yield from _all_tables(inner, heading)
