"""Reads catalogue files and lays them over each other: a later one adds, changes and takes out.

Every mistake is found, and named with the file and the place where it stands.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bot.catalog.mistakes import mistake_line, one_line, sentence, toml_sentence
from bot.catalog.table import CatalogModel
from bot.domain.errors import SetupError

Table = dict[str, Any]
Place = tuple[str, ...]
Schema = TypeVar("Schema", bound=CatalogModel)

BUILT_IN = Path(__file__).with_name("models")
"""The files of the catalogue that comes with Easel."""
MERGED = frozenset({"imagine", "edit", "options", "size", "prices", "picture", "extras", "byok"})
"""Tables that are laid over the former ones key by key; any other value replaces the former one."""


class _Mistake(Exception):
    def __init__(self, place: Place, sentence: str) -> None:
        self.place = place
        self.sentence = sentence
        super().__init__(sentence)


def built_in_files() -> Sequence[Path]:
    """In the order in which they are laid over each other."""
    return sorted(BUILT_IN.glob("*.toml"))


def read_catalog(schema: type[Schema], paths: Sequence[Path], providers: Collection[str] | None = None) -> Schema:
    """The catalogue that these files make together. Offers may name these `providers`; None allows any.

    Raises:
        SetupError: something is wrong; one line for each mistake.
    """
    layers, mistakes = _Layers(providers), list[str]()
    for path in paths:
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
            mistakes += [
                mistake_line(path.name, mistake.place, mistake.sentence)
                for mistake in layers.lay(content, path.name)
            ]
        except OSError as error:
            mistakes.append(f"{path.name or path} cannot be read: {error.strerror}.")
        except UnicodeDecodeError:
            mistakes.append(f"{path.name} is not valid: save it as UTF-8.")
        except ValueError as error:
            mistakes.append(f"{path.name} is not valid TOML: {toml_sentence(error)}.")
        except RecursionError:
            mistakes.append(f"{path.name} is not valid: its tables or lists are nested too deeply.")
    if not mistakes:
        try:
            return schema.model_validate(layers.value())
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            # A key that is misspelt often explains what is missing.
            found.sort(key=lambda each: each["type"] != "extra_forbidden")
            mistakes = list(dict.fromkeys(layers.line(each, schema) for each in found))
    raise SetupError("\n".join(map(one_line, mistakes)))


class _Layers:
    """Models by name, each with its offers by provider, and the file that each part of them was last set in."""

    def __init__(self, providers: Collection[str] | None) -> None:
        self._providers = providers
        self._rest: Table = {}
        self._models: dict[str, Table] = {}
        self._origins: dict[Place, str] = {}
        self._file = ""

    def lay(self, content: Table, file: str) -> Iterator[_Mistake]:
        """Lay a file over the former ones; returns what is wrong with it."""
        self._file = file
        for key, value in content.items():
            if key != "models":
                self._origins[key,] = file
                self._rest[key] = value
        for name, model in _listed(content, "models", "name", ()):
            if isinstance(model, _Mistake):
                yield model
                continue
            try:
                yield from self._lay_model(name, model)
            except _Mistake as mistake:
                yield mistake

    def _lay_model(self, name: str, model: Table) -> Iterator[_Mistake]:
        place = ("models", name)
        if _is_removed(model, place):
            if self._models.pop(name, None) is None:
                yield _Mistake(place, f"there is no such model to take out; {_choice(self._models)}")
            order = self._rest.get("order", [])
            self._rest["order"] = [each for each in order if each != name] if isinstance(order, list) else order
            return
        offers = list(_listed(model, "offers", "provider", place))
        model.pop("offers", None)
        known = self._models.setdefault(name, {"offers": {}})
        self._merge(known, model, place)
        for provider, offer in offers:
            if isinstance(offer, _Mistake):
                yield offer
                continue
            try:
                self._lay_offer(known["offers"], provider, offer, place)
            except _Mistake as mistake:
                yield mistake

    def _lay_offer(self, offers: dict[str, Table], provider: str, offer: Table, place: Place) -> None:
        place = (*place, "offers", provider)
        if self._providers is not None and provider not in self._providers:
            raise _Mistake(place, f"Easel knows no service {provider}; choose {', '.join(self._providers)}")
        if _is_removed(offer, place):
            if offers.pop(provider, None) is None:
                raise _Mistake(place, f"there is no such offer to take out; {_choice(offers)}")
            return
        like = offer.pop("like", None)
        if like is not None:
            pattern = self._alike(like, provider, place)
            self._forget(place, was_set=provider in offers)
            offers[provider] = deepcopy(pattern)
        known = offers.setdefault(provider, {})
        edit = offer.pop("edit", None)
        self._merge(known, offer, place)
        if isinstance(edit, dict) and (like := edit.pop("like", None)) is not None:
            if like != "imagine":
                raise _Mistake((*place, "edit", "like"), 'an edit can only be like = "imagine"')
            self._forget((*place, "edit"), was_set="edit" in known)
            known["edit"] = deepcopy(known.get("imagine", {}))
        if edit is not None:
            self._merge(known, {"edit": edit}, place)

    def _alike(self, like: Any, provider: str, place: Place) -> Table:
        found = self._models.get(like, {}).get("offers", {}).get(provider) if isinstance(like, str) else None
        if found is None:
            able = {name: model for name, model in self._models.items() if provider in model["offers"]}
            raise _Mistake((*place, "like"), f"{provider} has no model “{like}” before this one; {_choice(able)}")
        return dict(found)

    def _merge(self, known: Table, more: Table, place: Place) -> None:
        for key, value in more.items():
            here = (*place, key)
            self._origins[here] = self._file
            if value is False:
                known.pop(key, None)
            elif key in MERGED and isinstance(value, dict) and isinstance(known.get(key), dict):
                self._merge(known[key], value, here)
            else:
                known[key] = value
                self._note(value, here)

    def _forget(self, place: Place, *, was_set: bool) -> None:
        """What was set in a place that is like another now: its mistakes are this file's."""
        if was_set:
            self._origins = {each: file for each, file in self._origins.items() if each[: len(place)] != place}
        self._origins[place] = self._file

    def _note(self, value: Any, place: Place) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self._origins[*place, key] = self._file
                self._note(inner, (*place, key))

    def value(self) -> Table:
        """For the schema: models and offers as lists."""
        models = []
        for name, model in self._models.items():
            offers = [{"provider": provider, **offer} for provider, offer in model["offers"].items()]
            models.append({"name": name, **model, "offers": offers})
        return {**self._rest, "models": models}

    def line(self, error: ErrorDetails, schema: type[CatalogModel]) -> str:
        """A mistake that the schema found, in one line."""
        place = self._place(error["loc"])
        start = place
        while start and start not in self._origins:
            start = start[:-1]
        file = self._origins.get(start, self._file)
        return mistake_line(file, place, sentence(error, schema))

    def _place(self, loc: Sequence[str | int]) -> Place:
        """A place with names where the schema has numbers."""
        place: list[str] = []
        for part in loc:
            if part == "[key]":  # pydantic's mark of an error that is about the key itself
                continue
            names: Mapping[str, Any] = {}
            if place == ["models"]:
                names = self._models
            elif len(place) == 3 and place[-1] == "offers":
                names = self._models[place[1]]["offers"]
            place.append(list(names)[part] if names and isinstance(part, int) else str(part))
        return tuple(place)


def _listed(table: Table, key: str, named_by: str, place: Place) -> Iterator[tuple[str, Table | _Mistake]]:
    """The tables of a list by their names."""
    tables = table.get(key, [])
    seen = set()
    for number, item in enumerate(tables if isinstance(tables, list) else [tables], 1):
        name = item.get(named_by) if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            heading = ".".join((*place[:1], key))
            wrong = f'number {number} has no {named_by}; write [[{heading}]] and {named_by} = "…" below it'
            yield "", _Mistake((*place, key), wrong)
        elif name in seen:
            yield name, _Mistake((*place, key, name), "it is there twice; make one of both")
        else:
            seen.add(name)
            yield name, {inner: value for inner, value in item.items() if inner != named_by}


def _is_removed(table: Table, place: Place) -> bool:
    removed = table.pop("removed", False)
    if not isinstance(removed, bool):
        raise _Mistake((*place, "removed"), "write true or false")
    return removed


def _choice(names: Mapping[str, object]) -> str:
    return f"choose {', '.join(names)}" if names else "there is none"
