"""What is sent to Oxen: a request in its words, with nothing in it that the model does not list.

Oxen looks at a model's parameters only when it runs: one that it does not know fails a row that was accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bot.catalog.offers import Offer, Submit
from bot.catalog.schema import CountMapping, Operation
from bot.domain.errors import PriceExceeded, RequestRejected
from bot.domain.pictures import InputPicture
from bot.providers.oxen.models import ModelInfo
from bot.providers.shared.http import data_uri


def one_at_a_time(offers: Mapping[str, Offer]) -> Mapping[str, Offer]:
    """The same offers for the synchronous way, which paints one picture for each submit."""
    return {name: _single(offer) for name, offer in offers.items()}


def _single(offer: Offer) -> Offer:
    one = CountMapping(way="emulate")
    imagine = offer.imagine.model_copy(update={"count": one})
    edit = offer.edit.model_copy(update={"count": one}) if offer.edit else None
    return offer.model_copy(update={"imagine": imagine, "edit": edit})


def refuse_dear(order: Submit, card: ModelInfo) -> None:
    """Refuse what certainly costs more than was reserved: its own list says even its least is too much."""
    spelling = order.fit.verb.options.get("quality")
    least = card.least(order.fit.fields.get(spelling.field) if spelling else None)
    if order.most is not None and least is not None and least * order.count > order.most:
        raise PriceExceeded(detail=f"{(least * order.count).micros} of {order.most.micros}")


def content_of(order: Submit, card: ModelInfo, *, counted: bool) -> bytes:
    """The submit's JSON; long where pictures travel inside it. Without `counted` it is for one picture.

    Raises:
        RequestRejected: the mask has no place in it.
    """
    verb, fields = order.fit.verb, allowed(order.fit.verb, card)
    if not counted:
        fields -= {verb.count.field}
    if order.mask is not None and verb.mask not in fields:
        raise RequestRejected(detail="no field for a mask")
    mask = None if order.mask is None else _link(order.mask)
    body = order.fit.body(order.count, sources=[_link(given) for given in order.inputs], mask=mask)
    kept = {name: value for name, value in body.items() if name in fields}
    return json.dumps({**kept, "model": order.fit.offer.model}).encode()


def allowed(verb: Operation, card: ModelInfo) -> frozenset[str]:
    """What may be sent: what the model lists; where that is not known, what the catalogue is sure of."""
    envelope = frozenset(name for name in (verb.prompt, verb.count.field, verb.sources) if name)
    if card.fields is not None:
        return envelope | card.fields
    sure = {spelling.field for spelling in verb.options.values() if not spelling.listed}
    sure |= {verb.size.field, verb.mask or "", *verb.fixed}
    if verb.size.ratio is not None:
        sure |= {verb.size.ratio.field, *verb.size.ratio.extra}
    return envelope | (sure - {""})


def _link(given: InputPicture) -> str:
    return given.url or data_uri(given.picture.content, given.picture.content_type)
