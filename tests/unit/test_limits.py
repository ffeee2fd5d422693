"""The bounds of windows in every time zone, and the limits that apply to a member."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.clock import Instant
from bot.domain.limits import Limit, applicable_limits
from bot.domain.requests import Requester
from bot.domain.windows import Window, window_bounds
from tests.support.time_zones import ALL_WINDOWS, ZONES, instant


def local_bounds(window: Window, now: str, zone: str) -> tuple[str, str]:
    """The two ends of a window, in the zone's local time."""
    found = window_bounds(window, instant(now), ZoneInfo(zone))
    ends = (datetime.fromtimestamp(end / 1000, ZoneInfo(zone)) for end in (found.start, found.end))
    first, last = (end.strftime("%Y-%m-%d %H:%M%z") for end in ends)
    return first, last


@pytest.mark.parametrize(
    ("window", "now", "zone", "start", "end"),
    [
        pytest.param(
            "day",
            "2026-01-01T12:00Z",
            "UTC",
            "2026-01-01 00:00+0000",
            "2026-01-02 00:00+0000",
            id="a plain day",
        ),
        pytest.param(
            "day",
            "2018-11-04T12:00Z",
            "America/Sao_Paulo",
            "2018-11-04 01:00-0200",
            "2018-11-05 00:00-0200",
            id="a day without a midnight",
        ),
        pytest.param(
            "day",
            "2018-11-04T02:59Z",
            "America/Sao_Paulo",
            "2018-11-03 00:00-0300",
            "2018-11-04 01:00-0200",
            id="the day before a day without a midnight",
        ),
        pytest.param(
            "day",
            "2018-02-18T01:30Z",
            "America/Sao_Paulo",
            "2018-02-17 00:00-0200",
            "2018-02-18 00:00-0300",
            id="a day whose last hour comes twice",
        ),
        pytest.param(
            "day",
            "1919-03-31T12:00Z",
            "America/Toronto",
            "1919-03-31 00:30-0400",
            "1919-04-01 00:00-0400",
            id="a clock set forward from before midnight to after it",
        ),
        pytest.param(
            "day",
            "2024-04-26T09:00Z",
            "Africa/Cairo",
            "2024-04-26 01:00+0300",
            "2024-04-27 00:00+0300",
            id="no midnight in Cairo",
        ),
        pytest.param(
            "day",
            "2024-11-03T04:30Z",
            "America/Havana",
            "2024-11-03 00:00-0400",
            "2024-11-04 00:00-0500",
            id="midnight comes twice",
        ),
        pytest.param(
            "day",
            "2024-11-03T05:30Z",
            "America/Havana",
            "2024-11-03 00:00-0400",
            "2024-11-04 00:00-0500",
            id="after the second midnight",
        ),
        pytest.param(
            "day",
            "2011-12-30T09:59Z",
            "Pacific/Apia",
            "2011-12-29 00:00-1000",
            "2011-12-31 00:00+1400",
            id="a day that a country left out",
        ),
        pytest.param(
            "day",
            "2026-03-29T12:00Z",
            "Europe/Berlin",
            "2026-03-29 00:00+0100",
            "2026-03-30 00:00+0200",
            id="a day of 23 hours",
        ),
        pytest.param(
            "day",
            "2026-06-01T18:14Z",
            "Asia/Kathmandu",
            "2026-06-01 00:00+0545",
            "2026-06-02 00:00+0545",
            id="three quarters of an hour, just before midnight",
        ),
        pytest.param(
            "day",
            "2026-06-01T18:15Z",
            "Asia/Kathmandu",
            "2026-06-02 00:00+0545",
            "2026-06-03 00:00+0545",
            id="three quarters of an hour, midnight",
        ),
        pytest.param(
            "week",
            "2026-03-29T12:00Z",
            "Europe/Berlin",
            "2026-03-23 00:00+0100",
            "2026-03-30 00:00+0200",
            id="a Sunday belongs to the week that began on Monday",
        ),
        pytest.param(
            "week",
            "2026-03-30T12:00Z",
            "UTC",
            "2026-03-30 00:00+0000",
            "2026-04-06 00:00+0000",
            id="a Monday begins its week",
        ),
        pytest.param(
            "month",
            "2028-02-29T23:59Z",
            "UTC",
            "2028-02-01 00:00+0000",
            "2028-03-01 00:00+0000",
            id="a leap month",
        ),
        pytest.param(
            "month",
            "2026-12-31T23:30Z",
            "Asia/Kathmandu",
            "2027-01-01 00:00+0545",
            "2027-02-01 00:00+0545",
            id="a new year has begun there",
        ),
    ],
)
def test_a_window_begins_with_the_first_moment_of_its_first_day(
    window: Window, now: str, zone: str, start: str, end: str
) -> None:
    assert local_bounds(window, now, zone) == (start, end)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(
    now=st.integers(instant("2012-01-01T00:00Z"), instant("2037-01-01T00:00Z")),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    window=st.sampled_from(ALL_WINDOWS),
)
def test_windows_follow_each_other_without_gap_or_overlap(now: Instant, zone: ZoneInfo, window: Window) -> None:
    found = window_bounds(window, now, zone)
    assert found.start <= now < found.end
    assert found.start % (15 * 60 * 1000) == 0
    for inside in (found.start, found.end - 1):
        assert window_bounds(window, inside, zone) == found
    assert window_bounds(window, found.end, zone).start == found.end
    assert window_bounds(window, found.start - 1, zone).end == found.start


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    now=st.integers(instant("2012-01-01T00:00Z"), instant("2037-01-01T00:00Z")),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_a_days_bounds_hold_the_instants_of_its_date_and_no_others(now: Instant, zone: ZoneInfo) -> None:
    def date(at: Instant) -> str:
        return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).date().isoformat()

    found = window_bounds("day", now, zone)
    quarters = range(found.start, found.end, 15 * 60 * 1000)
    assert {date(at) for at in quarters} == {date(now)}
    assert date(found.start - 1) < date(now) < date(found.end)
    assert timedelta(hours=22) <= timedelta(milliseconds=found.end - found.start) <= timedelta(hours=26)


REQUESTER = Requester(user_id=1, guild_id=2, channel_id=3, role_ids=(10, 11))
DEFAULT = Limit(subject="everyone", subject_id=0, unit="images", window="day", amount=10)


def limit(subject: str, subject_id: int = 0, amount: int = 1, **more: Any) -> Limit:
    """A limit on images per day, unless `more` says otherwise."""
    fields: dict[str, Any] = {"subject": subject, "subject_id": subject_id, "unit": "images", "window": "day"}
    return Limit(**(fields | more), amount=amount)


def test_without_any_limit_the_default_applies() -> None:
    assert applicable_limits([], REQUESTER, DEFAULT) == (DEFAULT,)


def test_a_limit_on_money_leaves_the_default_for_pictures() -> None:
    money = limit("everyone", unit="micros")
    assert set(applicable_limits([money], REQUESTER, DEFAULT)) == {money, DEFAULT}


def test_a_members_own_limit_on_money_leaves_everyones_limit_on_pictures() -> None:
    own, everyone = limit("member", 1, unit="micros"), limit("everyone")
    assert set(applicable_limits([own, everyone, limit("everyone", unit="micros")], REQUESTER, DEFAULT)) == {
        own,
        everyone,
    }


def test_the_most_generous_role_wins_with_all_its_windows() -> None:
    small = [limit("role", 10, 6)]
    large = [limit("role", 11, 9), limit("role", 11, 250, window="month")]
    strict = [limit("role", 11, 9), limit("role", 11, 150, window="month")]
    assert set(applicable_limits([*small, *large], REQUESTER, DEFAULT)) == set(large)
    assert set(applicable_limits([*small, *strict], REQUESTER, DEFAULT)) == set(small)


def test_a_roles_limit_of_0_comes_before_more_generous_roles_but_not_before_a_members_own() -> None:
    stopped, generous, own = limit("role", 10, 0), limit("role", 11, 99), limit("member", 1, 3)
    for limits in ([stopped, generous], [generous, stopped]):
        assert applicable_limits(limits, REQUESTER, DEFAULT) == (stopped,)
    assert applicable_limits([stopped, generous, own], REQUESTER, DEFAULT) == (own,)


def test_limits_of_other_roles_and_members_do_not_apply() -> None:
    assert applicable_limits([limit("role", 12, 99), limit("member", 5, 99)], REQUESTER, DEFAULT) == (DEFAULT,)


def test_the_servers_and_the_operators_limits_apply_beside_the_members_own() -> None:
    own, guild, operator = limit("member", 1, 99), limit("guild", 2), limit("operator")
    assert set(applicable_limits([own, guild, operator, limit("everyone")], REQUESTER, DEFAULT)) == {
        own,
        guild,
        operator,
    }
