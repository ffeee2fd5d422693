"""A model at one provider, and a request in that provider's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import Field, model_validator

from bot.catalog.mapping import map_compression, map_options, map_seed
from bot.catalog.refusals import Unsupported
from bot.catalog.schema import Operation, OwnKeyOffer, Prices, Word
from bot.catalog.sizes import Shape
from bot.catalog.sizing import MappedSize, map_size
from bot.catalog.table import CatalogModel
from bot.domain.checks import prompt_too_long
from bot.domain.clock import Instant
from bot.domain.money import Money
from bot.domain.pictures import InputPicture
from bot.domain.requests import MAXIMUM_COUNT, MAXIMUM_SEED, ImageRequest, OutputFormat, RequestKind, Source

MAXIMUM_PARTIALS = 3
"""Unfinished pictures of one: OpenAI's images API, partial_images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """A request at one provider: `fields` are its options in the provider's words."""

    offer: Offer
    operation: Operation
    request: ImageRequest
    fields: Mapping[str, Any]
    changes: tuple[str, ...]
    """What the member gets differently than asked, a clause each: "16:9 became 3:2"."""
    convert_to: OutputFormat | None
    """The format that Easel converts the provider's pictures to; None where they stay as they are."""
    compress: bool
    """Whether Easel compresses them, because the provider does not."""
    size: MappedSize
    quality: str
    """In our words; empty where the provider chooses it."""

    @property
    def assumed_price(self) -> bool:
        """Whether the price is the catalogue's guess, because the provider tells none."""
        return self.offer.assumed_price

    @property
    def price_each(self) -> Money:
        """One picture, without what a request costs beside its pictures."""
        return self.offer.prices.each(self.quality, self.size.shape, self.size.tier)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.offer.provider

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pictures each submit asks for.

        With a seed it is one: a service that paints them one by one would paint the same picture again.
        """
        most = self.operation.count.most if self.request.seed is None else 1
        full, rest = divmod(self.request.count, most)
        return (most,) * full + ((rest,) if rest else ())

    def body(self, count: int, *, part: int = 0, sources: Sequence[Any] = (), mask: Any = None) -> dict[str, Any]:
        """The body of a job's submit number `part`, of `count` pictures.

        `sources` and `mask` are as the provider takes pictures. Each submit has a seed of its own, or all of them
        would paint the same picture.
        """
        operation = self.operation
        body: dict[str, Any] = {**operation.fixed, **self.fields, operation.prompt: self.request.prompt}
        seed = operation.options.get("seed")
        if seed is not None and seed.field in self.fields:
            body[seed.field] = (self.fields[seed.field] + part) % (MAXIMUM_SEED + 1)
        if operation.count.field:
            body[operation.count.field] = count
        if operation.sources and sources:
            body[operation.sources] = list(sources) if operation.source_style == "list" else sources[0]
        if operation.mask and mask is not None:
            body[operation.mask] = mask
        return body

    def highest_cost(self) -> Money:
        """The most that the whole request can cost."""
        extras = self.offer.prices.extras
        request, submits = self.request, len(self.counts)
        reasoning = request.count * extras.reasoning_tokens * extras.reasoning_token
        # A token is never shorter than a byte, whatever the language.
        words = len(request.prompt.split()) * extras.tokens_per_word
        text = max(words, len(request.prompt.encode(errors="replace"))) * extras.text_token
        total = request.count * self.price_each.micros + reasoning
        total += submits * text + (request.count if self._sources_count_each else submits) * self._sources_cost()
        # Only for a single picture does a provider send unfinished ones.
        total += self.counts.count(1) * MAXIMUM_PARTIALS * extras.partial_picture
        # Each submit is rounded up by itself.
        step = extras.rounded_up_to
        return Money((total + submits * (step - 1)) // step * step)

    def likely_cost(self, pictures: int) -> Money:
        """What `pictures` delivered ones most likely cost; never more than `highest_cost`."""
        if pictures <= 0:
            return Money()
        extras = self.offer.prices.extras
        text = len(self.request.prompt.split()) * extras.tokens_per_word * extras.text_token
        runs = pictures if self._sources_count_each else 1
        likely = Money(pictures * self.price_each.micros + text + runs * self._sources_cost())
        return min(likely, self.highest_cost())

    @property
    def _sources_count_each(self) -> bool:
        return self.offer.prices.sources_count_each

    def _sources_cost(self) -> int:
        """Micro-dollars for the pictures that are sent along."""
        prices, request = self.offer.prices, self.request
        masks = len(request.pictures) - len(request.sources)
        cost = prices.extras.sources_cost(request.fidelity, len(request.sources), masks)
        if prices.megapixel is None:
            return cost
        return cost + sum(prices.megapixel.sent(_pixels(picture)) for picture in request.pictures)


def _pixels(source: Source) -> Shape | None:
    """A picture's size, where Discord knows it."""
    return Shape(source.width, source.height, exact=True) if source.width and source.height else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """One call that asks a provider for `count` pictures of a request.

    `part` numbers a job's submits from 0. `price_limit` is what this one may cost, for a provider that tells its
    price before. `submitted_at` is when the submit was written down; `Provider.reconcile` looks from there.
    """

    job_id: int
    provider_request: ProviderRequest
    count: int
    part: int = 0
    inputs: tuple[InputPicture, ...] = ()
    mask: InputPicture | None = None
    submitted_at: Instant = 0
    price_limit: Money | None = None


class Offer(CatalogModel):
    """A model at one provider."""

    provider: str
    model: Word
    """The provider's own name for it."""
    maximum_prompt: int = Field(ge=1)
    maximum_sources: int = Field(ge=0)
    partials: bool = False
    """Whether it can send unfinished pictures."""
    assumed_price: bool = False
    """Whether the prices are only our bound, because the provider publishes none."""
    imagine: Operation
    edit: Operation | None = None
    byok: OwnKeyOffer | None = None
    prices: Prices

    @model_validator(mode="after")
    def _an_edit_sends_pictures(self) -> Self:
        if self.edit is not None and self.edit.sources is None:
            raise ValueError("an edit has no sources; name the field that takes the pictures")
        return self

    @model_validator(mode="after")
    def _one_picture_stands_by_itself(self) -> Self:
        if self.edit is not None and self.edit.source_style == "text" and self.maximum_sources != 1:
            raise ValueError("a field that takes one picture as a text needs maximum_sources = 1")
        return self

    @property
    def operations(self) -> Mapping[RequestKind, Operation]:
        """What becomes of each kind of request that it takes."""
        return {"imagine": self.imagine} if self.edit is None else {"imagine": self.imagine, "edit": self.edit}

    def on_own_key(self) -> Offer:
        """The same offer billed to the operator's OpenAI key: its tokens count wherever they are dearer."""
        if self.byok is None:
            return self
        extras = self.prices.extras
        tokens = {
            "text_token": max(extras.text_token, self.byok.text_token),
            "picture_token": max(extras.picture_token, self.byok.picture_token),
        }
        prices = self.prices.model_copy(update={"extras": extras.model_copy(update=tokens)})
        return self.model_copy(update={"prices": prices})

    def translate(self, request: ImageRequest) -> ProviderRequest:
        """The request in this provider's words.

        Raises:
            Unsupported: the provider cannot do it.
        """
        self._check(request)
        operation = self.edit if request.kind == "edit" and self.edit else self.imagine
        fields: dict[str, Any] = {}
        changes: list[str] = []
        source = _pixels(request.sources[0]) if request.sources else None
        shape = source and replace(source, exact=False)
        size = map_size(operation.size, request.size, shape, fields, changes)
        sent = map_options(operation.options, request, fields, changes)
        map_seed(operation.options.get("seed"), request.seed, fields)
        formats = operation.options["output_format"].values
        convert_to = None
        if sent["output_format"] != request.output_format or not formats.get(request.output_format):
            # A format that is not sent is whatever the provider chooses.
            convert_to = request.output_format
        compress = map_compression(operation.options.get("compression"), request, fields)
        if compress and convert_to is None:
            # A picture that Easel compresses should not have been compressed before.
            convert_to = request.output_format
            lossless = operation.options["output_format"]
            if lossless.values.get("png"):
                fields[lossless.field] = lossless.values["png"]
        return ProviderRequest(
            offer=self,
            operation=operation,
            request=request,
            fields=fields,
            changes=tuple(changes),
            convert_to=convert_to,
            compress=compress,
            size=size,
            quality=sent["quality"],
        )

    def _check(self, request: ImageRequest) -> None:
        if len(request.prompt) > self.maximum_prompt:
            raise Unsupported(prompt_too_long(request.prompt, self.maximum_prompt), "", prompt=True)
        if not 1 <= request.count <= MAXIMUM_COUNT:
            raise Unsupported(
                f"paints 1 to {MAXIMUM_COUNT} pictures at a time; you asked for {request.count}.", ""
            )
        if request.background == "transparent" and request.output_format == "jpeg":
            raise Unsupported(
                "a JPEG cannot be transparent.", "Choose PNG or WebP, or another background.", plain=True
            )
        self._check_pictures(request)

    def _check_pictures(self, request: ImageRequest) -> None:
        if not request.sources:
            if request.mask is not None:
                raise Unsupported(
                    "needs a picture for the mask to belong to.", "Add the picture, or leave the mask out."
                )
            if request.fidelity is not None:
                raise Unsupported(
                    "needs a picture that the fidelity is about.", "Add the picture, or leave the fidelity out."
                )
            return
        if self.edit is None:
            raise Unsupported("cannot edit pictures.", "Or ask without one.")
        if len(request.sources) > self.maximum_sources:
            most = "1 picture" if self.maximum_sources == 1 else f"{self.maximum_sources} pictures"
            raise Unsupported(f"takes up to {most}; you gave {len(request.sources)}.", "Or leave some out.")
        if request.mask is not None and self.edit.mask is None:
            raise Unsupported("takes no mask.", "Or ask without one, and say in the prompt what should change.")
