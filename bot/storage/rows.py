"""Converts between the domain's dataclasses and rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from bot.domain.jobs import Job, JobState, Ticket
from bot.domain.limits import Limit
from bot.domain.money import Amount, Money
from bot.domain.providers import ProviderOrder
from bot.domain.requests import ImageRequest, ReplyAddress, Requester, Source
from bot.ports import Row


def encode(value: ImageRequest | Requester | ReplyAddress) -> str:
    """JSON text, in ASCII: no database stores half a surrogate pair or a NUL as text."""
    return json.dumps(value, default=_fields, separators=(",", ":"))


def _fields(value: Any) -> dict[str, Any]:
    # `asdict` copies each value deeply, which costs as much as all that SQLite does for a job.
    return {field.name: getattr(value, field.name) for field in fields(value)}


def encode_tickets(tickets: Sequence[Ticket]) -> str:
    """Tickets as JSON text, without their finished bytes, which go to the spool."""
    listed = [{"provider": each.provider, "data": each.data, "count": each.count} for each in tickets]
    return json.dumps(listed, separators=(",", ":"))


def tickets_from(text: str | None, count: int = 1) -> tuple[Ticket, ...]:
    """The tickets that `encode_tickets` wrote, or the one of an earlier version, which was for all `count`."""
    found = json.loads(text) if text else []
    if isinstance(found, dict):
        found = [{"count": count} | found]
    return tuple(Ticket(**fields) for fields in found)


def request_from(text: str) -> ImageRequest:
    """The request that `encode` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["sources"] = tuple(Source(**source) for source in fields["sources"])
    fields["mask"] = Source(**fields["mask"]) if fields["mask"] else None
    fields["fallbacks"] = tuple(fields.get("fallbacks", ()))
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
        waited=row["waited_ms"] / 1000,
        patience=row["patience_ms"] / 1000,
        fetch_failed=bool(row["fetch_failed"]),
        delivering_at=row["delivering_at"],
        worker=row["worker"],
        parent_id=row["parent_id"],
        result_message_id=row["result_message_id"],
        error=row["error"],
        created_at=row["created_at"],
    )


def limit_from(row: Row) -> Limit:
    """A row of `limits`."""
    return Limit(
        subject=row["subject_kind"],
        subject_id=row["subject_id"],
        unit=row["unit"],
        window=row["window_kind"],
        amount=row["amount"],
        set_by=row["set_by"],
    )


def provider_order_from(row: Row) -> ProviderOrder:
    """A row of `provider_orders`."""
    return ProviderOrder(model=row["model"], providers=tuple(row["providers"].split()), set_by=row["set_by"])


def redacted(job: Job) -> tuple[str, str]:
    """A job's request and reply address as JSON text, without signed links and token."""
    request = job.request
    request = replace(
        request,
        sources=tuple(_unsigned(source) for source in request.sources),
        mask=_unsigned(request.mask) if request.mask else None,
    )
    return encode(request), encode(replace(job.reply, token=None))


def _unsigned(source: Source) -> Source:
    return replace(source, url=source.url.partition("?")[0])
