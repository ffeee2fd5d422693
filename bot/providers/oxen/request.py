"""What Easel sends to Oxen: only fields that the model lists.

Oxen checks a model's parameters only when it runs: an unknown one fails a row that was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.catalog.offers import Offer, Submit
from bot.catalog.schema import CountMapping, Operation
from bot.domain.errors import PriceExceeded, RequestRejected
from bot.domain.pictures import InputPicture
from bot.net.bodies import Body, DataUri, json_body
from bot.providers.oxen.models import ModelInfo


def one_at_a_time(offers: Mapping[str, Offer]) -> Mapping[str, Offer]:
    """The same offers for the synchronous calls, which paint one picture for each submit."""
    return {name: _single(offer) for name, offer in offers.items()}


def _single(offer: Offer) -> Offer:
    one = CountMapping(way="emulate")
    imagine = offer.imagine.model_copy(update={"count": one})
    edit = offer.edit.model_copy(update={"count": one}) if offer.edit else None
    return offer.model_copy(update={"imagine": imagine, "edit": edit})


def check_price(submit: Submit, model_info: ModelInfo) -> None:
    """See that the price may be within the submit's limit.

    Raises:
        PriceExceeded: even the lowest price of Oxen's list is above it.
    """
    mapping = submit.provider_request.operation.options.get("quality")
    quality = submit.provider_request.fields.get(mapping.field) if mapping else None
    lowest = model_info.lowest_price(quality)
    if submit.price_limit is not None and lowest is not None and lowest * submit.count > submit.price_limit:
        raise PriceExceeded(detail=f"{(lowest * submit.count).micros} of {submit.price_limit.micros}")


def body_of(submit: Submit, model_info: ModelInfo, *, counted: bool) -> Body:
    """The submit's JSON, with pictures inside that have no link. Without `counted` it is for one picture.

    Raises:
        RequestRejected: there is no field for the mask.
    """
    operation, names = submit.provider_request.operation, allowed(submit.provider_request.operation, model_info)
    if not counted:
        names -= {operation.count.field}
    if submit.mask is not None and operation.mask not in names:
        raise RequestRejected(detail="no field for a mask")
    mask = None if submit.mask is None else _link(submit.mask)
    sources = [_link(item) for item in submit.inputs]
    body = submit.provider_request.body(submit.count, part=submit.part, sources=sources, mask=mask)
    fields = {name: value for name, value in body.items() if name in names}
    return json_body({**fields, "model": submit.provider_request.offer.model})


def allowed(operation: Operation, model_info: ModelInfo) -> frozenset[str]:
    """The fields that may be sent: those that the model lists; where unknown, the catalogue's safe ones."""
    required = frozenset(name for name in (operation.prompt, operation.count.field, operation.sources) if name)
    if model_info.fields is not None:
        return required | model_info.fields
    safe = {mapping.field for mapping in operation.options.values() if not mapping.listed}
    safe |= {*operation.size.fields, operation.mask or "", *operation.fixed}
    return required | (safe - {""})


def _link(item: InputPicture) -> str | DataUri:
    return item.url or DataUri(item.picture)
