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
    """How much a subject may spend in a window. `set_by` is 0 for the operator's default."""

    subject: Literal["member", "role", "everyone", "guild", "operator"]
    subject_id: int
    unit: Literal["images", "micros"]
    window: Window
    limit: int
    set_by: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a member may still spend, in images, and the rule that is the narrowest."""

    limit: int
    spent: int
    reserved: int
    granted: int
    resets_at: Instant
    why: Limit

    @property
    def left(self) -> int:
        """Images left in the window and in grants."""
        return max(0, self.limit - self.spent - self.reserved) + self.granted


def applicable_limits(rules: Iterable[Limit], requester: Requester, default: Limit) -> tuple[Limit, ...]:
    """The rules that bind a member: their own, else their most generous role's, else everyone's.

    Images and money are decided apart. The server's rule and the operator's cap always hold as well.
    """
    known = tuple(rules)
    chosen: list[Limit] = [rule for rule in known if rule.subject in ("guild", "operator")]
    for unit in ("images", "micros"):
        of_unit = [rule for rule in known if rule.unit == unit]
        own = [rule for rule in of_unit if rule.subject == "member" and rule.subject_id == requester.user_id]
        everyone = [rule for rule in of_unit if rule.subject == "everyone"]
        chosen += own or _most_generous_role(of_unit, requester.role_ids) or everyone
        if unit == "images" and not (own or everyone or _most_generous_role(of_unit, requester.role_ids)):
            chosen.append(default)
    return tuple(chosen)


def _most_generous_role(rules: Sequence[Limit], role_ids: Sequence[int]) -> list[Limit]:
    """The rules of the one role whose narrowest rule gives the most a day."""
    by_role: dict[int, list[Limit]] = {}
    for rule in rules:
        if rule.subject == "role" and rule.subject_id in role_ids:
            by_role.setdefault(rule.subject_id, []).append(rule)
    return max(by_role.values(), key=lambda held: min(_daily(rule) for rule in held), default=[])


def _daily(rule: Limit) -> float:
    return rule.limit / DAYS[rule.window]
