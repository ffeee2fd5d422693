"""Who may do what, and why: pure functions over rules and requests, no input or output."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from math import ceil

from bot.domain.errors import BadPrompt, BadSource
from bot.domain.types import (
    MAXIMUM_PROMPT,
    MAXIMUM_SOURCES,
    ImageRequest,
    Instant,
    Limit,
    Requester,
    Source,
    Window,
)

MAXIMUM_SOURCE_BYTES = 20 * 1024 * 1024
"""What Discord lets everybody upload."""
MAXIMUM_PIXELS = 50_000_000
BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and a sign by their category, and still nobody sees them."""
DAYS: dict[Window, int] = {"day": 1, "week": 7, "month": 30}


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """A window as instants: `start` belongs to it, `end` does not."""

    start: Instant
    end: Instant


def window_bounds(window: Window, now: Instant, zone: tzinfo) -> WindowBounds:
    """The calendar window around `now` in a time zone; weeks start on Monday."""
    today = datetime.fromtimestamp(now / 1000, zone).date()
    match window:
        case "day":
            first, after = today, today + timedelta(days=1)
        case "week":
            first = today - timedelta(days=today.weekday())
            after = first + timedelta(days=7)
        case "month":
            first = today.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
    return WindowBounds(_first_instant(first, zone), _first_instant(after, zone))


def _first_instant(day: date, zone: tzinfo) -> Instant:
    """The first instant of a local day. Midnight itself may not exist, or exist twice (clock changes)."""
    # Of two midnights this is the first; for one that does not exist it is a moment after the clock was set.
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    step = timedelta(minutes=15)
    while (midnight - step).astimezone(zone).date() >= day:
        midnight -= step
    return int(midnight.timestamp() * 1000)


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


def check(request: ImageRequest) -> None:
    """Refuse what Discord's own figures already show.

    Raises:
        BadPrompt: empty or too long.
        BadSource: too many pictures, too many bytes or pixels, no picture at all, a mask of another size.
    """
    # Control, format and white-space characters alone say nothing, nor do marks without a letter.
    if all(unicodedata.category(letter)[0] in "CMZ" or letter in BLANK_LETTERS for letter in request.prompt):
        raise BadPrompt("Your prompt is empty. Tell Easel what to paint.")
    if len(request.prompt) > MAXIMUM_PROMPT:
        raise BadPrompt(
            f"Your prompt has {len(request.prompt):,} characters; the most is {MAXIMUM_PROMPT:,}. "
            "Shorten it a little."
        )
    if len(request.sources) > MAXIMUM_SOURCES:
        raise BadSource(
            f"You gave {len(request.sources)} pictures; an edit takes up to {MAXIMUM_SOURCES}. Leave some out."
        )
    for source in request.pictures:
        _check_source(source)
    if request.mask is not None and request.sources:
        _check_mask(request.mask, request.sources[0])


def _check_source(source: Source) -> None:
    if source.content_type is not None and not source.content_type.startswith("image/"):
        raise BadSource(f"{source.filename} is not a picture. Send a PNG, JPEG or WebP.")
    if source.size > MAXIMUM_SOURCE_BYTES:
        raise BadSource(
            f"{source.filename} has {ceil(source.size / 1024 / 1024)} MB; "
            f"the most is {MAXIMUM_SOURCE_BYTES // 1024 // 1024} MB. Send a smaller one."
        )
    if source.width and source.height and source.width * source.height > MAXIMUM_PIXELS:
        raise BadSource(
            f"{source.filename} has {ceil(source.width * source.height / 1e6)} megapixels; "
            f"the most is {MAXIMUM_PIXELS / 1e6:.0f}. Send a smaller one."
        )


def _check_mask(mask: Source, picture: Source) -> None:
    if not (mask.width and mask.height and picture.width and picture.height):
        return
    if (mask.width, mask.height) != (picture.width, picture.height):
        raise BadSource(
            f"The mask is {mask.width}×{mask.height} and the picture {picture.width}×{picture.height}. "
            "Both must have the same size."
        )
