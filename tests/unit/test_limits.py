"""Windows in every time zone, whose limit holds, and the sentences for what Discord's figures already show."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.checks import MAXIMUM_SOURCE_BYTES, check
from bot.domain.clock import Instant
from bot.domain.errors import BadPrompt, BadSource
from bot.domain.limits import Limit, applicable_limits
from bot.domain.requests import MAXIMUM_PROMPT, ImageRequest, Requester, Source
from bot.domain.windows import Window, window_bounds

HOUR = 60 * 60 * 1000
ZONES = (
    "UTC",
    "Africa/Cairo",
    "America/Asuncion",
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
ALL_WINDOWS: tuple[Window, ...] = ("day", "week", "month")


def instant(text: str) -> Instant:
    """Milliseconds of a time that is written with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def written(window: Window, now: str, zone: str) -> tuple[str, str]:
    """A window's two ends in the zone's own words."""
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
    assert written(window, now, zone) == (start, end)


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
def test_all_of_a_day_and_nothing_else_has_its_date(now: Instant, zone: ZoneInfo) -> None:
    def date(at: Instant) -> str:
        return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).date().isoformat()

    found = window_bounds("day", now, zone)
    quarters = range(found.start, found.end, 15 * 60 * 1000)
    assert {date(at) for at in quarters} == {date(now)}
    assert date(found.start - 1) < date(now) < date(found.end)
    assert timedelta(hours=22) <= timedelta(milliseconds=found.end - found.start) <= timedelta(hours=26)


ASKER = Requester(user_id=1, guild_id=2, channel_id=3, role_ids=(10, 11))
DEFAULT = Limit(subject="everyone", subject_id=0, unit="images", window="day", limit=10)


def rule(subject: str, subject_id: int = 0, limit: int = 1, **more: Any) -> Limit:
    fields: dict[str, Any] = {"subject": subject, "subject_id": subject_id, "unit": "images", "window": "day"}
    return Limit(**(fields | more), limit=limit)


def test_without_any_rule_the_default_holds() -> None:
    assert applicable_limits([], ASKER, DEFAULT) == (DEFAULT,)


def test_a_limit_on_money_leaves_the_default_for_pictures_in_force() -> None:
    money = rule("everyone", unit="micros")
    assert set(applicable_limits([money], ASKER, DEFAULT)) == {money, DEFAULT}


def test_a_members_own_limit_on_money_leaves_everyones_limit_on_pictures() -> None:
    own, everyone = rule("member", 1, unit="micros"), rule("everyone")
    assert set(applicable_limits([own, everyone, rule("everyone", unit="micros")], ASKER, DEFAULT)) == {
        own,
        everyone,
    }


def test_the_most_generous_role_wins_with_all_its_windows() -> None:
    small = [rule("role", 10, 6)]
    large = [rule("role", 11, 9), rule("role", 11, 250, window="month")]
    strict = [rule("role", 11, 9), rule("role", 11, 150, window="month")]
    assert set(applicable_limits([*small, *large], ASKER, DEFAULT)) == set(large)
    assert set(applicable_limits([*small, *strict], ASKER, DEFAULT)) == set(small)


def test_a_role_that_the_member_does_not_have_says_nothing() -> None:
    assert applicable_limits([rule("role", 12, 99), rule("member", 5, 99)], ASKER, DEFAULT) == (DEFAULT,)


def test_the_servers_and_the_operators_limits_hold_beside_the_members_own() -> None:
    own, guild, operator = rule("member", 1, 99), rule("guild", 2), rule("operator")
    assert set(applicable_limits([own, guild, operator, rule("everyone")], ASKER, DEFAULT)) == {
        own,
        guild,
        operator,
    }


PICTURE = Source(
    url="https://cdn.discordapp.com/a.png",
    filename="a.png",
    content_type="image/png",
    size=5,
    width=100,
    height=50,
)
REQUEST = ImageRequest(prompt="a fox", model="m", sources=(PICTURE,))


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(REQUEST, id="one picture"),
        pytest.param(replace(REQUEST, sources=(PICTURE,) * 4), id="four pictures"),
        pytest.param(replace(REQUEST, prompt="x" * MAXIMUM_PROMPT), id="the longest prompt"),
        pytest.param(
            replace(REQUEST, sources=(replace(PICTURE, size=MAXIMUM_SOURCE_BYTES),)), id="the largest file"
        ),
        pytest.param(
            replace(REQUEST, sources=(replace(PICTURE, width=10_000, height=5_000),)), id="the most pixels"
        ),
        pytest.param(
            replace(REQUEST, sources=(Source(url="u", filename="f"),), mask=PICTURE), id="no figures to compare"
        ),
        pytest.param(replace(REQUEST, mask=PICTURE), id="a mask of the same size"),
    ],
)
def test_what_may_be_asked_passes(request_: ImageRequest) -> None:
    check(request_)


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(BadPrompt) as refused:
        check(replace(REQUEST, prompt=prompt))
    assert refused.value.sentence == "Your prompt is empty. Tell Easel what to paint."


def test_a_prompt_that_is_too_long_is_told_by_how_much() -> None:
    with pytest.raises(BadPrompt) as refused:
        check(replace(REQUEST, prompt="x" * 4321))
    expected = "Your prompt has 4,321 characters; the most is 4,000. Shorten it a little."
    assert refused.value.sentence == expected


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            replace(REQUEST, sources=(PICTURE,) * 5),
            "You gave 5 pictures; an edit takes up to 4. Leave some out.",
        ),
        (
            replace(
                REQUEST, sources=(PICTURE, replace(PICTURE, filename="b.pdf", content_type="application/pdf"))
            ),
            "b.pdf is not a picture. Send a PNG, JPEG or WebP.",
        ),
        (
            replace(REQUEST, sources=(replace(PICTURE, size=MAXIMUM_SOURCE_BYTES + 1),)),
            "a.png has 21 MB; the most is 20 MB. Send a smaller one.",
        ),
        (
            replace(REQUEST, sources=(replace(PICTURE, width=10_001, height=5_000),)),
            "a.png has 51 megapixels; the most is 50. Send a smaller one.",
        ),
        (
            replace(REQUEST, mask=replace(PICTURE, filename="m.png", size=30 * 1024 * 1024)),
            "m.png has 30 MB; the most is 20 MB. Send a smaller one.",
        ),
        (
            replace(REQUEST, mask=replace(PICTURE, width=99)),
            "The mask is 99×50 and the picture 100×50. Both must have the same size.",
        ),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_with_its_reason(request_: ImageRequest, sentence: str) -> None:
    with pytest.raises(BadSource) as refused:
        check(request_)
    assert refused.value.sentence == sentence
