"""One contract for every service: the same cases, the same assertions, each way of having pictures painted.

A way is one class (in `contract_fal`, `contract_lumenfall`, `contract_oxen`), a case one function (in
`contract_options`, `contract_submits`, `contract_follows`, `contract_pictures`). Where a case cannot exist, its
cell says why, and the case has asserted what is promised instead. The table is printed at the end;
`--contract-table PATH` keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import get_args

import pytest

from tests.providers.contract import follow_cases as contract_follows
from tests.providers.contract import option_cases as contract_options
from tests.providers.contract import picture_cases as contract_pictures
from tests.providers.contract import submit_cases as contract_submits
from tests.providers.contract.case import Case
from tests.providers.contract.fal import FalOwnKey, FalPolled, FalStreamed
from tests.providers.contract.lumenfall import LumenfallInline, LumenfallLink, LumenfallStreamed
from tests.providers.contract.oxen import OxenDirect, OxenQueue
from tests.providers.contract.table import INSTEAD, NAME, Cell, table
from tests.providers.contract.variant import Fault, Variant
from tests.providers.contract.world import open_house

WAYS: tuple[type[Variant], ...] = (
    *(FalPolled, FalStreamed, FalOwnKey),
    *(LumenfallLink, LumenfallStreamed, LumenfallInline),
    *(OxenQueue, OxenDirect),
)
CASES: tuple[Case, ...] = (
    *contract_options.case,
    *contract_submits.case,
    *contract_follows.case,
    *contract_pictures.case,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title())
async def test_contract(
    case: Case,
    way: type[Variant],
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = {"row": CASES.index(case), "case": case.title, "column": WAYS.index(way)}
    record_property(NAME, {**place, "service": way.service, "manner": way.manner})
    async with asyncio.timeout(30), open_house(way(), caplog) as house:
        instead = await case.check(house)
    if instead:
        record_property(INSTEAD, instead)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title())
def test_a_way_says_of_every_fault_how_it_comes_about_or_why_it_cannot(way: type[Variant]) -> None:
    assert set(get_args(Fault)) == set(way.faults) | (set(way.lacks) & set(get_args(Fault)))
    assert not set(way.faults) & set(way.lacks)


def test_no_two_cases_and_no_two_ways_have_the_same_name() -> None:
    assert len({case.title for case in CASES}) == len(CASES) >= 45
    assert len({way.title() for way in WAYS}) == len(WAYS)


def test_the_table_shows_what_is_kept_what_is_broken_and_why_a_case_cannot_exist() -> None:
    def cell(row: int, column: int, *, failed: bool = False, instead: str = "") -> Cell:
        titles, names = ("painted", "cancelled"), ("polled", "direct")
        return Cell(
            row=row,
            case=titles[row],
            column=column,
            service="Some",
            manner=names[column],
            failed=failed,
            instead=instead,
        )

    assert table([cell(0, 0), cell(0, 1, failed=True), cell(1, 1, instead="no cancel here")]) == [
        "             Some    Some",
        "           polled  direct",
        "─────────────────────────",
        "painted         ✓       ✗",
        "cancelled       ·       1",
        "",
        "✓ kept: 1   ✗ broken: 1   cannot exist there: 1",
        "  1  no cancel here",
    ]
