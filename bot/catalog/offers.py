"""What a service makes of a request: each option passed on, renamed, converted, emulated, or refused.

`Offer.fit` applies what the catalogue says of a service (`schema.py`) to a request. An option that
the service lacks is emulated where that is honest, and the member is told; what cannot be is `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from bot.catalog import sizes as shapes
from bot.catalog.schema import (
    CatalogModel,
    Operation,
    Option,
    OptionMapping,
    OwnKeyOffer,
    Prices,
    RatioMapping,
    SizeMapping,
)
from bot.catalog.sizes import Shape
from bot.domain.clock import Instant
from bot.domain.errors import BadPrompt, Refused, UnsupportedRequest
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.domain.providers import ModelStatus
from bot.domain.requests import MAXIMUM_COUNT, ImageRequest, OutputFormat

WORDS: dict[Option, str] = {
    "quality": "quality",
    "background": "background",
    "output_format": "format",
    "fidelity": "fidelity",
    "compression": "compression",
}
MOST_PARTIALS = 3
"""Unfinished pictures of one: OpenAI's images API, partial_images."""
NO_LOSS = ("png", "gif")
"""Formats that compression says nothing about."""


class Unsupported(Exception):
    """The service cannot do it. `cannot` completes "GPT Image 1 …"; `can` completes "GPT Image 1.5 …"."""

    def __init__(self, cannot: str, advice: str, *, prompt: bool = False, plain: bool = False) -> None:
        """`prompt` blames the prompt; `plain` says something that is so with every model."""
        self.cannot = cannot
        self.advice = advice
        self._prompt = prompt
        self._plain = plain
        super().__init__(cannot)

    def refusal(self, label: str, others: Sequence[str]) -> Refused:
        """The refusal that a member reads; `others` are labels of models that can."""
        sentence = f"{self.cannot[:1].upper()}{self.cannot[1:]} {self.advice}".strip()
        if self._prompt:
            return BadPrompt(sentence)
        if self._plain:
            return UnsupportedRequest(sentence)
        if others:
            able = f"Choose {join_or(others)} as the model."
            return UnsupportedRequest(f"{label} {self.cannot} {able} {self.advice}".strip())
        advice = self.advice.removeprefix("Or ")
        return UnsupportedRequest(f"{label} {self.cannot} {advice[:1].upper()}{advice[1:]}".strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """A request at one service: `fields` are its options in the service's words."""

    offer: Offer
    verb: Operation
    request: ImageRequest
    fields: Mapping[str, Any]
    changes: tuple[str, ...]
    """What the member gets differently than asked, a clause each: "16:9 became 3:2"."""
    made_here: OutputFormat | None
    """The format that Easel makes out of what comes back."""
    compress_here: bool
    size: Shape | None
    """In pixels; None where the service chooses."""
    quality: str
    """Ours; empty where the service chooses."""
    dearest: int | None = None
    """Micro-dollars of one picture by the service's own list, where the catalogue has only a guess."""

    @property
    def assumed_price(self) -> bool:
        """Whether nobody but the catalogue says what it costs."""
        return self.offer.assumed_price and self.dearest is None

    @property
    def provider(self) -> str:
        """The service."""
        return self.offer.provider

    @property
    def submits(self) -> tuple[int, ...]:
        """How many pictures each submit asks for."""
        most = self.verb.count.most
        full, rest = divmod(self.request.count, most)
        return (most,) * full + ((rest,) if rest else ())

    def body(self, count: int, *, sources: Sequence[Any] = (), mask: Any = None) -> dict[str, Any]:
        """The whole submit in the service's words, pictures as whatever stands for them there."""
        verb = self.verb
        body: dict[str, Any] = {**verb.fixed, **self.fields, verb.prompt: self.request.prompt}
        if verb.count.field:
            body[verb.count.field] = count
        if verb.sources and sources:
            body[verb.sources] = list(sources)
        if verb.mask and mask is not None:
            body[verb.mask] = mask
        return body

    def most(self) -> int:
        """Micro-dollars that the whole request costs at most."""
        extras = self.offer.prices.extras
        request, submits = self.request, len(self.submits)
        reasoning = request.count * extras.reasoning_tokens * extras.reasoning_token
        # A token is never shorter than a byte, whatever the language.
        words = len(request.prompt.split()) * extras.tokens_per_word
        text = max(words, len(request.prompt.encode(errors="replace"))) * extras.text_token
        total = request.count * self._each() + reasoning
        total += submits * (text + self._sources())
        if request.count == 1:  # only then is a picture shown while it is painted
            total += MOST_PARTIALS * extras.partial_picture
        return _rounded(total, submits * extras.rounded_up_to, extras.rounded_up_to)

    def likely(self, pictures: int) -> int:
        """Micro-dollars that `pictures` delivered ones most likely cost; never more than `most`."""
        if pictures <= 0:
            return 0
        extras = self.offer.prices.extras
        text = len(self.request.prompt.split()) * extras.tokens_per_word * extras.text_token
        return min(pictures * self._each() + text + self._sources(), self.most())

    def _each(self) -> int:
        return self.dearest if self.dearest is not None else self.offer.prices.each(self.quality, self.size)

    def _sources(self) -> int:
        extras = self.offer.prices.extras
        tokens = extras.picture_tokens[self.request.fidelity or "high"]
        return len(self.request.pictures) * tokens * extras.picture_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """One submit: `count` pictures of a request, in the words of the service that gets it.

    `part` numbers a job's submits from 0. `most` is what this one may cost: a service that can tell its price
    before is asked. `submitted_at` is when the submit was written down, for a service that is asked afterwards.
    """

    job_id: int
    fit: ProviderRequest
    count: int
    part: int = 0
    inputs: tuple[InputPicture, ...] = ()
    mask: InputPicture | None = None
    submitted_at: Instant = 0
    most: Money | None = None


def _rounded(total: int, spare: int, step: int) -> int:
    """Up to the step; each submit beyond the first is rounded by itself, so it may add one more."""
    return -(-(total + spare - step) // step) * step


class Offer(CatalogModel):
    """A model at one service."""

    provider: str
    model: str
    """The service's own name for it."""
    maximum_prompt: int = Field(ge=1)
    maximum_sources: int = Field(ge=0)
    assumed_price: bool = False
    """Whether the prices are only our bound, because the service publishes none."""
    imagine: Operation
    edit: Operation | None = None
    byok: OwnKeyOffer | None = None
    prices: Prices

    def on_own_key(self) -> Offer:
        """The same offer where the operator's OpenAI key pays: its tokens count wherever they are dearer."""
        if self.byok is None:
            return self
        extras = self.prices.extras
        tokens = {
            "text_token": max(extras.text_token, self.byok.text_token),
            "picture_token": max(extras.picture_token, self.byok.picture_token),
        }
        prices = self.prices.model_copy(update={"extras": extras.model_copy(update=tokens)})
        return self.model_copy(update={"prices": prices})

    def fit(self, request: ImageRequest, known: ModelStatus | None = None) -> ProviderRequest:
        """The request in this service's words; `known` is what the service itself says of the model.

        Raises:
            Unsupported: it cannot do that.
        """
        self._check(request)
        listed = known.fields if known else None
        verb = self.edit if request.kind == "edit" and self.edit else self.imagine
        fields: dict[str, Any] = {}
        changes: list[str] = []
        size = _sized(verb.size, request.size, fields, changes)
        quality = ""
        made_here: OutputFormat | None = None
        compress_here = False
        for option in WORDS:
            value = getattr(request, option)
            spelling = verb.options.get(option)
            if option == "compression":
                compress_here = _compressed(spelling, request, fields)
            elif value is not None:
                asked = _spelled(option, value, spelling, listed, fields, changes)
                if option == "quality":
                    quality = asked
                elif option == "output_format" and asked != value:
                    made_here = request.output_format
        if compress_here and made_here is None:
            # What is compressed here should not have been compressed before.
            made_here = request.output_format
            lossless = verb.options["output_format"]
            if lossless.values.get("png"):
                fields[lossless.field] = lossless.values["png"]
        return ProviderRequest(
            offer=self,
            verb=verb,
            request=request,
            fields=fields,
            changes=tuple(changes),
            made_here=made_here,
            compress_here=compress_here,
            size=size,
            quality=quality,
            dearest=known.dearest.micros if known and known.dearest and self.assumed_price else None,
        )

    def _check(self, request: ImageRequest) -> None:
        if len(request.prompt) > self.maximum_prompt:
            raise Unsupported(
                f"your prompt has {len(request.prompt):,} characters; the most is {self.maximum_prompt:,}.",
                "Shorten it a little.",
                prompt=True,
            )
        if not 1 <= request.count <= MAXIMUM_COUNT:
            raise Unsupported(
                f"paints 1 to {MAXIMUM_COUNT} pictures at a time; you asked for {request.count}.", ""
            )
        if request.background == "transparent" and request.output_format == "jpeg":
            raise Unsupported(
                "a JPEG cannot be transparent.", "Choose PNG or WebP, or another background.", plain=True
            )
        _check_pictures(self, request)


def _check_pictures(offer: Offer, request: ImageRequest) -> None:
    if not request.sources:
        if request.mask is not None:
            raise Unsupported(
                "needs a picture for the mask to belong to.", "Add the picture, or leave the mask out."
            )
        if request.fidelity is not None:
            raise Unsupported(
                "needs a picture for fidelity to say how closely to keep to it.", "Add one, or leave it out."
            )
        return
    if offer.edit is None:
        raise Unsupported("cannot edit pictures.", "Or ask without one.")
    if len(request.sources) > offer.maximum_sources:
        most = "1 picture" if offer.maximum_sources == 1 else f"{offer.maximum_sources} pictures"
        raise Unsupported(f"takes up to {most}; you gave {len(request.sources)}.", "Or leave some out.")
    if request.mask is not None and offer.edit.mask is None:
        raise Unsupported("takes no mask.", "Or ask without one, and say in the prompt what should change.")


def _sized(sizing: SizeMapping, text: str, fields: dict[str, Any], changes: list[str]) -> Shape | None:
    """Write the size down in the service's words; returns it in pixels, None where the service chooses."""
    try:
        wanted = shapes.read(text)
    except ValueError:
        raise Unsupported(
            f"has no size “{text[:20]}”.",
            "Choose square, landscape or portrait, a ratio like 16:9, or pixels like 1536x1024.",
        ) from None
    if wanted is None:
        if sizing.auto is not None:
            fields[sizing.field] = sizing.auto
        return next((shapes.exact(size) for size, word in sizing.known.items() if word == sizing.auto), None)
    known = {shapes.exact(size): word for size, word in sizing.known.items()}
    if wanted in known:
        fields[sizing.field] = known[wanted]
        return wanted
    # Only who asked for a shape and nothing else gets the field that says no more than that.
    ratio = sizing.ratio if ":" in text else None
    return _near(sizing, ratio, wanted, known, fields, changes)


def _near(
    sizing: SizeMapping,
    ratio: RatioMapping | None,
    wanted: Shape,
    known: dict[Shape, str],
    fields: dict[str, Any],
    changes: list[str],
) -> Shape:
    chosen = shapes.nearest(wanted, known)
    good = not wanted.exact and shapes.same_ratio(chosen, wanted)
    if sizing.custom is not None and not good and (custom := sizing.custom.fitted(wanted)):
        fields[sizing.field] = sizing.custom.spelled(custom)
        _note_size(wanted, custom, changes)
        return custom
    if ratio is not None and chosen.ratio in ratio.values:
        fields[ratio.field] = chosen.ratio
        fields.update(ratio.extra)
    else:
        fields[sizing.field] = known[chosen]
    _note_size(wanted, chosen, changes)
    return chosen


def _note_size(wanted: Shape, chosen: Shape, changes: list[str]) -> None:
    if wanted.exact and wanted != chosen:
        changes.append(f"{wanted} became {chosen}")
    elif not wanted.exact and not shapes.same_ratio(wanted, chosen):
        changes.append(f"{wanted} became {chosen.ratio}")


def _spelled(
    option: Option,
    value: str,
    spelling: OptionMapping | None,
    listed: frozenset[str] | None,
    fields: dict[str, Any],
    changes: list[str],
) -> str:
    """Write an option down; returns the value that is asked for, empty where the service chooses."""
    word = WORDS[option]
    if spelling is None:
        if value == "auto":
            return ""
        raise Unsupported(f"lets nobody choose the {word}.", "Or leave it out.")
    if spelling.listed and (listed is None or spelling.field not in listed):
        if value in spelling.dropped:
            if value != "auto":
                changes.append(f"the service chooses the {word} itself")
            return ""
        raise Unsupported(f"has no {value} {word}.", "Or leave it out.")
    asked = spelling.instead.get(value, value)
    if asked not in spelling.values:
        raise Unsupported(f"has no {word} “{value}”.", f"Choose {join_or((*spelling.values, *spelling.instead))}.")
    if asked != value and option != "output_format":
        changes.append(f"{value} {word} became {asked}")
    if spelling.values[asked]:
        fields[spelling.field] = spelling.values[asked]
    return asked


def _compressed(spelling: OptionMapping | None, request: ImageRequest, fields: dict[str, Any]) -> bool:
    """Write the compression down; returns whether Easel has to do it."""
    if request.compression is None:
        return False
    if request.output_format in NO_LOSS:
        kind = request.output_format.upper()
        raise Unsupported(
            f"a {kind} cannot be compressed.", "Choose JPEG, WebP or AVIF as the format.", plain=True
        )
    if spelling is None or spelling.way == "emulate":
        return True
    fields[spelling.field] = request.compression
    return False


def join_or(words: Any) -> str:
    """a, b or c."""
    *rest, last = words
    return f"{', '.join(rest)} or {last}" if rest else last
