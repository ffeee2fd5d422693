"""Nouns to rows and back. Dictionaries end here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest, ReplyAddress, Requester, Source
from bot.ports import Row


def encode(noun: ImageRequest | Requester | ReplyAddress) -> str:
    """A noun as JSON text, in ASCII: half a surrogate pair and a NUL are no text to a database."""
    return json.dumps(asdict(noun), separators=(",", ":"))


def encode_tickets(tickets: Sequence[Ticket]) -> str:
    """Tickets as JSON text; the bytes that they keep go to the spool."""
    plain = [{"provider": each.provider, "data": each.data, "count": each.count} for each in tickets]
    return json.dumps(plain, separators=(",", ":"))


def tickets_from(text: str | None, count: int = 1) -> tuple[Ticket, ...]:
    """The tickets that `encode_tickets` wrote, or the only one that earlier versions did: for all `count`."""
    found = json.loads(text) if text else []
    return tuple(Ticket(**each) for each in ([{"count": count} | found] if isinstance(found, dict) else found))


def request_from(text: str) -> ImageRequest:
    """The request that `encode` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["sources"] = tuple(Source(**source) for source in fields["sources"])
    fields["mask"] = Source(**fields["mask"]) if fields["mask"] else None
    return ImageRequest(**fields)


def requester_from(text: str) -> Requester:
    """The requester that `encode` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["role_ids"] = tuple(fields["role_ids"])
    return Requester(**fields)


def job_from(row: Row) -> Job:
    """A row of `jobs`."""
    request = request_from(row["request"])
    return Job(
        id=row["id"],
        requester=requester_from(row["requester"]),
        request=request,
        reply=ReplyAddress(**json.loads(row["reply"])),
        state=JobState(row["state"]),
        reserved=Amount(images=row["reserved_images"], money=Money(row["reserved_micros"])),
        charged=Amount(images=row["charged_images"], money=Money(row["charged_micros"])),
        provider=row["provider"],
        tickets=tickets_from(row["ticket"], request.count),
        submitted_at=row["submitted_at"],
        resubmits=row["resubmits"],
        cancel_requested=bool(row["cancel_requested"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        leased_until=row["leased_until"],
        expires_at=row["expires_at"],
        delivering_at=row["delivering_at"],
        worker=row["worker"],
        parent_id=row["parent_id"],
        result_message_id=row["result_message_id"],
        error=row["error"],
        created_at=row["created_at"],
    )


def limit_from(row: Row) -> Limit:
    """A row of `rules`."""
    return Limit(
        subject=row["subject_kind"],
        subject_id=row["subject_id"],
        unit=row["unit"],
        window=row["window_kind"],
        limit=row["most"],
        set_by=row["set_by"],
    )


def provider_order_from(row: Row) -> ProviderOrder:
    """A row of `routes`."""
    return ProviderOrder(model=row["model"], services=tuple(row["services"].split()), set_by=row["set_by"])


def redacted(job: Job) -> tuple[str, str]:
    """The request and the reply address of a job that has ended: no token, no signed links."""
    request = job.request
    request = replace(
        request,
        sources=tuple(_unsigned(source) for source in request.sources),
        mask=_unsigned(request.mask) if request.mask else None,
    )
    return encode(request), encode(replace(job.reply, token=None))


def _unsigned(source: Source) -> Source:
    return replace(source, url=source.url.partition("?")[0])
