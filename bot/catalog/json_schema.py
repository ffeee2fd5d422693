"""The JSON Schema of a catalogue file, for editors, made from the tables' own.

A file is a layer: it may leave out what another file says, take a key out with `false`, and use `like` and
`removed`. Draft 4 is the newest that Taplo promises to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.catalog.catalog import Catalog
from bot.catalog.files import MERGED

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-04/schema#"
_REF = "#/definitions/"
_LAYER = "a layer"
_LIKE_MODEL = {
    "type": "string",
    "description": "A model that this service has already: the offer is the same, but for what is written here.",
}
_LIKE_IMAGINE = {"enum": ["imagine"], "description": "The same as imagine, but for what is written here."}
_REMOVED = {"type": "boolean", "description": "Take it out."}


def catalog_json_schema(providers: Sequence[str]) -> Schema:
    """The schema of one file; `providers` are the only ones that an offer may name."""
    found = Catalog.model_json_schema(ref_template=f"{_REF}{{model}}")
    tables: dict[str, Schema] = {name: _plain(table) for name, table in found.pop("$defs").items()}
    root = _plain(found)
    root.pop("required", None)
    model = _at(root["properties"]["models"]["items"], tables)
    offer = _at(model["properties"]["offers"]["items"], tables)
    for table in (model, offer):
        _as_layer(table, tables)
    model["required"], offer["required"] = ["name"], ["provider"]
    model["properties"]["removed"] = _REMOVED
    offer["properties"] |= {"like": _LIKE_MODEL, "removed": _REMOVED}
    offer["properties"]["provider"]["enum"] = list(providers)
    operation = _at(offer["properties"]["imagine"], tables)
    tables["Edit"] = {**operation, "properties": {**operation["properties"], "like": _LIKE_IMAGINE}}
    offer["properties"]["edit"] = _or_false({"$ref": f"{_REF}Edit"})
    return {"$schema": _DRAFT, "title": "Easel's catalogue", **root, "definitions": tables}


def _at(schema: Schema, tables: dict[str, Schema]) -> Schema:
    """The table that a schema refers to."""
    return tables[schema["$ref"].removeprefix(_REF)] if "$ref" in schema else schema


def _as_layer(table: Schema, tables: dict[str, Schema]) -> None:
    """Let a table, and those in it that are merged, leave keys out and take them out."""
    if table.get("title") == _LAYER:
        return
    table["title"] = _LAYER
    needed = table.pop("required", [])
    properties = table["properties"]
    for key, schema in properties.items():
        if key in MERGED and "$ref" in schema:
            _as_layer(_at(schema, tables), tables)
        elif key in MERGED:
            _as_dictionary(schema)
        if key not in needed and key != "offers" and schema.get("type") != "boolean":
            properties[key] = _or_false(schema)


def _as_dictionary(schema: Schema) -> None:
    """The same for a table whose keys are options or qualities."""
    if "properties" in schema:
        schema["properties"] = {key: _or_false(value) for key, value in schema["properties"].items()}
    elif "additionalProperties" in schema:
        schema["additionalProperties"] = _or_false(schema["additionalProperties"])


def _or_false(schema: Schema) -> Schema:
    about = {"description": schema["description"]} if "description" in schema else {}
    return {**about, "anyOf": [schema, {"enum": [False], "description": "Take the key out."}]}


def _plain(schema: Schema) -> Schema:
    """A schema of pydantic's in the words of draft 4, without what a TOML file cannot say."""
    kept = {key: value for key, value in schema.items() if key != "title"}
    if "description" in kept:
        kept["description"] = "\n\n".join(" ".join(part.split()) for part in kept["description"].split("\n\n"))
    choices = [choice for choice in kept.pop("anyOf", []) if choice != {"type": "null"}]
    if kept.get("default", ...) is None:
        del kept["default"]
    if len(choices) == 1:
        kept = {**choices[0], **kept}
    elif choices:
        kept["anyOf"] = [_plain(choice) for choice in choices]
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    names = kept.pop("propertyNames", {}).get("enum")
    if isinstance(items := kept.get("items"), dict):
        kept["items"] = _plain(items)
    if isinstance(values := kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _plain(values)
    if names is not None:
        values = kept["additionalProperties"]
        kept |= {"properties": dict.fromkeys(names, values), "additionalProperties": False}
    elif "properties" in kept:
        kept["properties"] = {key: _plain(value) for key, value in kept["properties"].items()}
    return kept
