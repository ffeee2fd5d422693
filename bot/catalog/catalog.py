"""Models as data: what each can do at each provider, what the provider calls it, and what it costs at most.

The files in `models/` beside this one hold the figures and where they come from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bot.catalog.files import built_in_files, read_catalog
from bot.catalog.offers import Offer
from bot.catalog.refusals import unknown_model
from bot.catalog.table import CatalogModel

NOTICE_BEFORE = timedelta(days=60)
"""How early a switch-off is announced."""


class Model(CatalogModel):
    """A model, under the name and the label that members see."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")
    label: str = Field(min_length=1, max_length=48)
    good_for: str = Field("", max_length=30)
    """What members read of it while they choose, in about three words: "fast and cheap"."""
    upstream: str = ""
    """The company that runs it, whichever service passes it on. Its models tend to fail together, so a service is
    paused for all of them at once, and for no other company's."""
    sunset_at: date | None = None
    successors: tuple[str, ...] = ()
    """What takes its place once it is gone: the first that is served and can do the request."""
    offers: tuple[Offer, ...] = ()

    @model_validator(mode="after")
    def _is_served_and_succeeded(self) -> Self:
        if not self.offers:
            raise ValueError("no service offers it; add [[models.offers]]")
        if self.name in self.successors:
            raise ValueError("it succeeds itself; name another model")
        return self

    @field_validator("label", "good_for")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        if not text.isprintable() or text != text.strip():
            raise ValueError("write it in letters that can be seen, without spaces around it")
        return text

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """The providers that have it, in the order in which they are asked."""
        return tuple(offer.provider for offer in self.offers)

    def offer(self, provider: str) -> Offer:
        """The model at one of its `providers`."""
        return next(offer for offer in self.offers if offer.provider == provider)


class Catalog(CatalogModel):
    """Every model. Read once, at start."""

    order: tuple[str, ...] = ()
    """Names of models, the preferred one first; those that are not among them come after."""
    models: tuple[Model, ...] = ()
    """In that order."""

    @model_validator(mode="after")
    def _order_names_models(self) -> Self:
        names = [model.name for model in self.models]
        if not names:
            raise ValueError("it has no model; add [[models]]")
        if unknown := set(self.order) - set(names):
            raise ValueError(f"the order names no model {min(unknown)}; choose {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _each_is_typed_otherwise(self) -> Self:
        typed: dict[str, str] = {}
        for model in self.models:
            for text in {model.name, model.label.lower()}:
                if typed.setdefault(text, model.name) != model.name:
                    raise ValueError(f"{typed[text]} and {model.name} are both called {text}; change a label")
        return self

    @field_validator("models")
    @classmethod
    def _in_order(cls, models: tuple[Model, ...], info: ValidationInfo) -> tuple[Model, ...]:
        place = {name: number for number, name in enumerate(info.data.get("order", ()))}
        return tuple(sorted(models, key=lambda model: place.get(model.name, len(place))))

    @classmethod
    def load(cls, more: Sequence[Path] = (), providers: Collection[str] | None = None) -> Catalog:
        """The catalogue that comes with Easel, with `more` files laid over it; None allows any `providers`.

        Raises:
            SetupError: a file is missing or wrong; one line for each mistake, which says where.
        """
        if not more:
            return _built_in(None if providers is None else tuple(providers))
        return read_catalog(cls, [*built_in_files(), *more], providers)

    def get(self, name: str) -> Model | None:
        """The model of that name, if there is one."""
        return next((model for model in self.models if model.name == name), None)

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            UnsupportedRequest: there is none; names the nearest and the preferred ones.
        """
        model = self.get(name)
        if model is None:
            raise unknown_model(name, {each.name: each.label for each in self.models})
        return model

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

    def _successor(self, model: Model, names: Sequence[str] | None) -> str | None:
        """The label of what will take a model's place, where only `names` are served."""
        known = [each for name in model.successors if (each := self.get(name)) is not None]
        served = [each for each in known if names is None or each.name in names]
        return next((each.label for each in (*served, *known)), None)

    def notices(self, today: date, names: Sequence[str] | None = None) -> list[str]:
        """A sentence for each model (of `names`) whose announced last day is near or past. They only announce."""
        return [
            _notice(
                model,
                model.sunset_at,
                today,
                self._successor(model, names),
            )
            for model in self.models
            if model.sunset_at is not None
            and today >= model.sunset_at - NOTICE_BEFORE
            and (names is None or model.name in names)
        ]


@cache
def _built_in(providers: tuple[str, ...] | None) -> Catalog:
    return read_catalog(Catalog, built_in_files(), providers)


def _notice(model: Model, sunset_at: date, today: date, successor: str | None) -> str:
    day = f"{sunset_at.day} {sunset_at:%B} {sunset_at.year}"
    if today < sunset_at:
        sentence = f"{model.label} is announced to be switched off on {day}."
    else:
        sentence = f"{model.label} was announced to be switched off on {day} and may stop at any time."
    if not model.successors:
        return sentence
    if successor is not None:
        return f"{sentence} Its successor is {successor}: try it now."
    return (
        f"{sentence} Its successor is {model.successors[0]}, which this version does not have yet: "
        "update Easel before then."
    )
