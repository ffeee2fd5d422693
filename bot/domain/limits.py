"""Limits: how much may be spent in which window, and which limits apply to a member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.clock import Instant
from bot.domain.requests import Requester
from bot.domain.windows import DAYS, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much a subject may spend in a window, in pictures or in micro-dollars; `set_by` is 0 for the default."""

    subject: Literal["member", "role", "everyone", "guild", "operator"]
    subject_id: int
    unit: Literal["images", "micros"]
    window: Window
    amount: int
    set_by: int = 0

    @property
    def stops(self) -> bool:
        """Whether it leaves nothing at all, so that neither grants nor a more generous role help."""
        return self.amount == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a member may still spend, in images, and the narrowest limit that applies."""

    total: int
    spent: int
    reserved: int
    granted: int
    resets_at: Instant
    limit: Limit

    @property
    def left(self) -> int:
        """Images left in the window and in grants."""
        return max(0, self.total - self.spent - self.reserved) + self.granted


def applicable_limits(limits: Iterable[Limit], requester: Requester, default: Limit) -> tuple[Limit, ...]:
    """The limits of a member: their own, else their most generous role's, else everyone's, else `default`.

    A role whose limit is 0 comes before the more generous ones. Images and money are decided apart. The server's
    limit and the operator's apply as well.
    """
    known = tuple(limits)
    chosen: list[Limit] = [limit for limit in known if limit.subject in ("guild", "operator")]
    for unit in ("images", "micros"):
        of_unit = [limit for limit in known if limit.unit == unit]
        own = [limit for limit in of_unit if limit.subject == "member" and limit.subject_id == requester.user_id]
        everyone = [limit for limit in of_unit if limit.subject == "everyone"]
        found = own or _limits_of_role(of_unit, requester.role_ids) or everyone
        chosen += found or ([default] if unit == "images" else [])
    return tuple(chosen)


def holding_limit(limits: Iterable[Limit], subject: Requester, default: Limit) -> Limit:
    """The limit of pictures that decides about a member, about those with a role, or about everyone."""
    return next(
        limit
        for limit in applicable_limits(limits, subject, default)
        if limit.unit == "images" and limit.subject in ("member", "role", "everyone")
    )


def _limits_of_role(limits: Sequence[Limit], role_ids: Sequence[int]) -> list[Limit]:
    """The limits of the one role that stops the member or, without such, whose narrowest gives the most a day."""
    by_role: dict[int, list[Limit]] = {}
    for limit in limits:
        if limit.subject == "role" and limit.subject_id in role_ids:
            by_role.setdefault(limit.subject_id, []).append(limit)
    stopping = next((of_role for of_role in by_role.values() if any(limit.stops for limit in of_role)), None)
    if stopping is not None:
        return stopping
    return max(by_role.values(), key=lambda of_role: min(_daily(limit) for limit in of_role), default=[])


def _daily(limit: Limit) -> float:
    return limit.amount / DAYS[limit.window]
