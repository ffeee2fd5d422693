"""Models as data: what each can do, how a service spells it, and what it costs at most.

`catalog.toml` beside this file holds the figures and where they come from. Nothing here asks what day it is,
except `notices`, which is handed the day.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.errors import BadPrompt, SetupError, UnsupportedRequest
from bot.models import Fidelity, ImageRequest, Money

Option = Literal["size", "quality", "background", "output_format", "fidelity"]
Micros = Annotated[int, Field(ge=0, le=100_000_000)]

NOTICE_BEFORE = timedelta(days=60)
"""How early a switch-off is announced."""

WORDS: dict[Option, str] = {
    "size": "size",
    "quality": "quality",
    "background": "background",
    "output_format": "format",
    "fidelity": "fidelity",
}


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spelling(_Data):
    """One option: the service's name for it, and for each neutral value its own word."""

    field: str
    values: dict[str, str]


class Verb(_Data):
    """One kind of request: where it goes and what its fields are called."""

    endpoint: str
    prompt: str
    count: str
    sources: str | None = None
    mask: str | None = None
    options: dict[Option, Spelling]


class Extras(_Data):
    """What is charged beside the pictures. Tokens in micro-dollars each."""

    text_token: Micros
    tokens_per_word: int = Field(ge=1)
    reasoning_token: Micros
    reasoning_tokens: int = Field(ge=0)
    picture_token: Micros
    picture_tokens: dict[Fidelity, int]
    rounded_up_to: int = Field(1, ge=1)


class Prices(_Data):
    """`picture` by the service's words for quality and size, in micro-dollars."""

    picture: dict[str, dict[str, Micros]]
    extras: Extras

    @model_validator(mode="after")
    def _rows_are_filled(self) -> Self:
        if not self.picture or not all(self.picture.values()):
            raise ValueError("a price row is empty")
        return self


class Offer(_Data):
    """A model at one service."""

    provider: str
    maximum_prompt: int = Field(ge=1)
    maximum_sources: int = Field(ge=0)
    maximum_count: int = Field(ge=1)
    imagine: Verb
    edit: Verb | None = None
    prices: Prices

    def verb(self, request: ImageRequest) -> Verb | None:
        """The endpoint for this kind of request, if the service has one."""
        return self.edit if request.kind == "edit" else self.imagine

    def spell(self, request: ImageRequest, *, sources: Sequence[str], mask: str | None) -> dict[str, Any]:
        """The body of a request that was checked, in the service's words; pictures stand as URLs."""
        verb = self.verb(request) or self.imagine
        body: dict[str, Any] = {verb.prompt: request.prompt, verb.count: request.count}
        for option, spelling in verb.options.items():
            value = getattr(request, option)
            if value is not None:
                body[spelling.field] = spelling.values[value]
        if verb.sources and sources:
            body[verb.sources] = list(sources)
        if verb.mask and mask is not None:
            body[verb.mask] = mask
        return body

    def most(self, request: ImageRequest) -> int:
        """Micro-dollars that the whole request costs at most."""
        extras = self.prices.extras
        reasoning = request.count * extras.reasoning_tokens * extras.reasoning_token
        # A token is never shorter than a byte, whatever the language.
        tokens = max(
            len(request.prompt.split()) * extras.tokens_per_word, len(request.prompt.encode(errors="replace"))
        )
        total = request.count * self._each(request) + reasoning
        total += tokens * extras.text_token + self._sources(request)
        return -(-total // extras.rounded_up_to) * extras.rounded_up_to

    def likely(self, request: ImageRequest, pictures: int) -> int:
        """Micro-dollars that `pictures` delivered ones most likely cost; never more than `most`."""
        if pictures <= 0:
            return 0
        extras = self.prices.extras
        text = len(request.prompt.split()) * extras.tokens_per_word * extras.text_token
        return min(pictures * self._each(request) + text + self._sources(request), self.most(request))

    def _each(self, request: ImageRequest) -> int:
        quality, size = self._word(request, "quality"), self._word(request, "size")
        row = self.prices.picture.get(quality)
        if row is None:
            return max(price for prices in self.prices.picture.values() for price in prices.values())
        return row.get(size, max(row.values()))

    def _sources(self, request: ImageRequest) -> int:
        extras = self.prices.extras
        tokens = extras.picture_tokens[request.fidelity or "high"]
        return len(request.pictures) * tokens * extras.picture_token

    def _word(self, request: ImageRequest, option: Option) -> str:
        verb = self.verb(request) or self.imagine
        spelling = verb.options.get(option)
        return spelling.values.get(getattr(request, option), "") if spelling else ""


class Model(_Data):
    """A model, under the name and the label that members see."""

    name: str
    label: str
    sunset_at: date | None = None
    successor: str | None = None
    offers: tuple[Offer, ...] = Field(min_length=1)

    @property
    def provider_names(self) -> tuple[str, ...]:
        """The services that have it, in the order in which they are asked."""
        return tuple(offer.provider for offer in self.offers)


class Catalog(_Data):
    """Every model. Read once, at start."""

    models: tuple[Model, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("a model is listed twice")
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

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises:
            UnsupportedRequest: there is none; says which there are.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise UnsupportedRequest(
            f"Easel has no model “{name[:60]}”. Choose {_either(model.name for model in self.models)}."
        )

    def canonical(self, text: str) -> str:
        """A model's name for what a person typed or chose: Discord may send the label in the name's place."""
        typed = text.strip().lower()
        return next((model.name for model in self.models if typed in (model.name, model.label.lower())), text)

    def offer(self, name: str, provider: str) -> Offer:
        """A model at one service.

        Raises:
            UnsupportedRequest: that service does not have it.
        """
        model = self.model(name)
        for offer in model.offers:
            if offer.provider == provider:
                return offer
        raise UnsupportedRequest(f"{model.label} is not offered by {provider}. Choose another model.")

    def check(self, request: ImageRequest) -> None:
        """See that at least one service can do all that is asked.

        Raises:
            UnsupportedRequest: none can; says what would work.
            BadPrompt: the prompt is empty or too long.
        """
        self._fitting(request)

    def price(self, request: ImageRequest) -> Money:
        """The most that a request can cost, at the dearest service that takes it.

        Raises:
            UnsupportedRequest: as `check`.
            BadPrompt: as `check`.
        """
        return Money(max(offer.most(request) for offer in self._fitting(request)))

    def cost(self, request: ImageRequest, pictures: int, provider: str | None = None) -> Money:
        """Our best figure for what `pictures` delivered ones cost, for a service that does not say.

        Never more than `price`. Without a provider, the dearest of the model's.
        """
        offers = [
            offer
            for offer in self.model(request.model).offers
            if offer.verb(request) and provider in (None, offer.provider)
        ]
        return Money(max((offer.likely(request, pictures) for offer in offers), default=0))

    def notices(self, today: date) -> list[str]:
        """A sentence for each model whose announced last day is near or past. They only announce."""
        return [
            _notice(model, model.sunset_at, today, served=any(m.name == model.successor for m in self.models))
            for model in self.models
            if model.sunset_at is not None and today >= model.sunset_at - NOTICE_BEFORE
        ]

    def _fitting(self, request: ImageRequest) -> list[Offer]:
        model = self.model(request.model)
        fitting: list[Offer] = []
        refusal: UnsupportedRequest | BadPrompt | None = None
        for offer in model.offers:
            problem = _problem(model.label, offer, request)
            if problem is None:
                fitting.append(offer)
            refusal = refusal or problem
        if not fitting and refusal is not None:
            raise refusal
        return fitting


def _problem(label: str, offer: Offer, request: ImageRequest) -> UnsupportedRequest | BadPrompt | None:
    if not request.prompt.strip():
        return BadPrompt("The prompt is empty. Say what Easel should paint.")
    if len(request.prompt) > offer.maximum_prompt:
        return BadPrompt(
            f"Your prompt has {len(request.prompt):,} characters; {label} takes up to "
            f"{offer.maximum_prompt:,}. Shorten it a little."
        )
    sentence = (
        _count_problem(label, offer, request)
        or _source_problem(label, offer, request)
        or _option_problem(label, offer, request)
    )
    return UnsupportedRequest(sentence) if sentence else None


def _count_problem(label: str, offer: Offer, request: ImageRequest) -> str | None:
    if 1 <= request.count <= offer.maximum_count:
        return None
    range_ = "1 picture" if offer.maximum_count == 1 else f"1 to {offer.maximum_count} pictures"
    return f"{label} paints {range_} at a time; you asked for {request.count}."


def _source_problem(label: str, offer: Offer, request: ImageRequest) -> str | None:
    if not request.sources:
        if request.mask is not None:
            return "A mask needs a picture to go with it. Add the picture that it belongs to."
        if request.fidelity is not None:
            return "Fidelity says how closely to keep to a picture. Add a picture, or leave it out."
        return None
    if offer.edit is None:
        return f"{label} cannot edit pictures. Ask without one."
    if len(request.sources) > offer.maximum_sources:
        return (
            f"{label} takes up to {_pictures(offer.maximum_sources)}; you gave {len(request.sources)}. "
            "Leave some out."
        )
    if request.mask is not None and offer.edit.mask is None:
        return f"{label} takes no mask. Ask without one, and say in the prompt what should change."
    return None


def _option_problem(label: str, offer: Offer, request: ImageRequest) -> str | None:
    verb = offer.verb(request) or offer.imagine
    for option, word in WORDS.items():
        value = getattr(request, option)
        if value is None:
            continue
        spelling = verb.options.get(option)
        if spelling is None and value != "auto":
            return f"{label} has no {word} to choose. Leave it out."
        if spelling is not None and value not in spelling.values:
            return f"{label} has no {word} “{value}”. Choose {_either(spelling.values)}."
    if request.background == "transparent" and request.output_format == "jpeg":
        return "A JPEG cannot be transparent. Choose PNG or WebP, or another background."
    return None


def _notice(model: Model, sunset_at: date, today: date, *, served: bool) -> str:
    day = f"{sunset_at.day} {sunset_at:%B} {sunset_at.year}"
    if today < sunset_at:
        sentence = f"{model.label} is announced to be switched off on {day}."
    else:
        sentence = f"{model.label} was announced to be switched off on {day} and may stop at any time."
    if model.successor is None:
        return sentence
    if served:
        return f"{sentence} Its successor is {model.successor}: try it now."
    return (
        f"{sentence} Its successor is {model.successor}, which this version does not have yet: "
        "update Easel before then."
    )


def _either(values: Any) -> str:
    *rest, last = values
    return f"{', '.join(rest)} or {last}" if rest else last


def _pictures(number: int) -> str:
    return "1 picture" if number == 1 else f"{number} pictures"
