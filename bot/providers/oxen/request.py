"""What Easel sends to Oxen.

Oxen checks a model's parameters only when it runs: an unknown one fails a row that was accepted. So only fields
are sent that the model lists, as far as its list could be read (`bot/catalog/live.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.catalog.offers import Offer, Submit
from bot.catalog.schema import CountMapping
from bot.domain.pictures import InputPicture
from bot.net.bodies import Body, DataUri, json_body


def one_at_a_time(offers: Mapping[str, Offer]) -> Mapping[str, Offer]:
    """The same offers for the synchronous calls, which paint one picture for each submit."""
    return {name: _single(offer) for name, offer in offers.items()}


def _single(offer: Offer) -> Offer:
    one = CountMapping(way="emulate")
    imagine = offer.imagine.model_copy(update={"count": one})
    edit = offer.edit.model_copy(update={"count": one}) if offer.edit else None
    return offer.model_copy(update={"imagine": imagine, "edit": edit})


def body_of(submit: Submit) -> Body:
    """The submit's JSON, with pictures inside that have no link."""
    mask = None if submit.mask is None else _link(submit.mask)
    sources = [_link(item) for item in submit.inputs]
    body = submit.provider_request.body(submit.count, part=submit.part, sources=sources, mask=mask)
    return json_body({**body, "model": submit.provider_request.offer.model})


def _link(item: InputPicture) -> str | DataUri:
    return item.url or DataUri(item.picture)
