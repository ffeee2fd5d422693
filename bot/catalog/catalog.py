"""Models as data: what each can do at each provider, what the provider calls it, and what it costs at most.

`catalog.toml` beside this file holds the figures and where they come from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from bot.catalog.mapping import join_or
from bot.catalog.offers import Offer
from bot.catalog.schema import CatalogModel
from bot.domain.errors import SetupError, UnsupportedRequest

NOTICE_BEFORE = timedelta(days=60)
"""How early a switch-off is announced."""


class Model(CatalogModel):
    """A model, under the name and the label that members see."""

    name: str
    label: str
    sunset_at: date | None = None
    successor: str | None = None
    offers: tuple[Offer, ...] = Field(min_length=1)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """The providers that have it, in the order in which they are asked."""
        return tuple(offer.provider for offer in self.offers)

    def offer(self, provider: str) -> Offer:
        """The model at one of its `providers`."""
        return next(offer for offer in self.offers if offer.provider == provider)


class Catalog(CatalogModel):
    """Every model. Read once, at start."""

    models: tuple[Model, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("a model is listed twice")
        for model in self.models:
            if len(set(model.providers)) != len(model.providers):
                raise ValueError(f"{model.name} lists a service twice")
            if model.successor == model.name:
                raise ValueError(f"{model.name} succeeds itself")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read a catalogue; without a path the one that comes with Easel.

        Raises:
            SetupError: it is missing or wrong; one line that says where.
        """
        path = path or Path(__file__).with_name("catalog.toml")
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SetupError(f"{path.name} cannot be read: {error.strerror}.") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            message = first["msg"].removeprefix("Value error, ")
            raise SetupError(f"{path.name} is not valid at {place}: {message}.") from None
        except ValueError as error:
            raise SetupError(f"{path.name} is not valid TOML: {' '.join(str(error).split())}.") from None

    def get(self, name: str) -> Model | None:
        """The model of that name, if there is one."""
        return next((model for model in self.models if model.name == name), None)

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            UnsupportedRequest: there is none; says which there are.
        """
        model = self.get(name)
        if model is not None:
            return model
        raise UnsupportedRequest(
            f"Easel has no model “{name[:60]}”. Choose {join_or(model.name for model in self.models)}."
        )

    def canonical(self, text: str) -> str:
        """A model's name for what a person typed or chose: Discord may send the label in the name's place."""
        typed = text.strip().lower()
        return next((model.name for model in self.models if typed in (model.name, model.label.lower())), text)

    def at(self, provider: str) -> dict[str, Offer]:
        """What a provider offers, by the model's name."""
        return {model.name: offer for model in self.models for offer in model.offers if offer.provider == provider}

    def with_offers(self, provider: str, offers: Mapping[str, Offer]) -> Catalog:
        """The same catalogue with other offers of one provider, by the model's name."""

        def changed(model: Model) -> Model:
            found = tuple(
                offers.get(model.name, offer) if offer.provider == provider else offer for offer in model.offers
            )
            return model.model_copy(update={"offers": found})

        return self.model_copy(update={"models": tuple(changed(model) for model in self.models)})

    def notices(self, today: date, names: Sequence[str] | None = None) -> list[str]:
        """A sentence for each model (of `names`) whose announced last day is near or past. They only announce."""
        return [
            _notice(
                model,
                model.sunset_at,
                today,
                next((m.label for m in self.models if m.name == model.successor), None),
            )
            for model in self.models
            if model.sunset_at is not None
            and today >= model.sunset_at - NOTICE_BEFORE
            and (names is None or model.name in names)
        ]


def _notice(model: Model, sunset_at: date, today: date, successor: str | None) -> str:
    day = f"{sunset_at.day} {sunset_at:%B} {sunset_at.year}"
    if today < sunset_at:
        sentence = f"{model.label} is announced to be switched off on {day}."
    else:
        sentence = f"{model.label} was announced to be switched off on {day} and may stop at any time."
    if model.successor is None:
        return sentence
    if successor is not None:
        return f"{sentence} Its successor is {successor}: try it now."
    return (
        f"{sentence} Its successor is {model.successor}, which this version does not have yet: "
        "update Easel before then."
    )
