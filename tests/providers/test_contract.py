"""One contract for every provider: the same cases and the same assertions for each variant.

A variant is one class (in `contract/fal`, `contract/lumenfall`, `contract/oxen`), a case one function (in
`option_cases`, `submit_cases`, `follow_cases`, `picture_cases`). Where a case cannot exist, its cell says why,
and the case has asserted the alternative. The table is printed at the end; `--contract-table
PATH` writes it to a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import get_args

import pytest

from tests.providers.contract import follow_cases, option_cases, picture_cases, submit_cases
from tests.providers.contract.case import Case
from tests.providers.contract.fal import (
    FalFreeSizes,
    FalLarge,
    FalMegapixels,
    FalOwnKey,
    FalPolled,
    FalRatios,
    FalStreamed,
)
from tests.providers.contract.lumenfall import (
    LumenfallFreeSizes,
    LumenfallInline,
    LumenfallLink,
    LumenfallMegapixels,
    LumenfallRatios,
    LumenfallStreamed,
)
from tests.providers.contract.oxen import (
    OxenDirect,
    OxenQueue,
    OxenSeeds,
    OxenShapeless,
    OxenTiers,
    OxenWhiteMask,
)
from tests.providers.contract.table import INSTEAD, NAME, Cell, table
from tests.providers.contract.variant import Fault, Variant
from tests.providers.contract.world import open_world

VARIANTS: tuple[type[Variant], ...] = (
    *(FalPolled, FalStreamed, FalOwnKey),
    *(LumenfallLink, LumenfallStreamed, LumenfallInline),
    *(OxenQueue, OxenDirect),
)
KINDS_OF_OFFER: tuple[type[Variant], ...] = (
    *(FalFreeSizes, FalRatios, FalMegapixels, FalLarge),
    *(LumenfallFreeSizes, LumenfallRatios, LumenfallMegapixels),
    *(OxenTiers, OxenWhiteMask, OxenSeeds, OxenShapeless),
)
"""They differ in what can be asked for. How a request travels is the same for all offers of a provider."""
COLUMNS = (*VARIANTS, *KINDS_OF_OFFER)
CASES: tuple[Case, ...] = (
    *option_cases.case,
    *submit_cases.case,
    *follow_cases.case,
    *picture_cases.case,
)
CELLS = (
    *((variant, case) for variant in VARIANTS for case in CASES),
    *((variant, case) for variant in KINDS_OF_OFFER for case in option_cases.case),
)


def titled(value: type[Variant] | Case) -> str:
    """What a column or a row is called."""
    return value.title if isinstance(value, Case) else value.title()


@pytest.mark.parametrize(("variant", "case"), CELLS, ids=titled)
async def test_contract(
    case: Case,
    variant: type[Variant],
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = {"row": CASES.index(case), "case": case.title, "column": COLUMNS.index(variant)}
    record_property(NAME, {**place, "service": variant.service, "mode": variant.mode})
    async with asyncio.timeout(30), open_world(variant(), caplog) as world:
        instead = await case.check(world)
    if instead:
        record_property(INSTEAD, instead)


@pytest.mark.parametrize("variant", COLUMNS, ids=lambda variant: variant.title())
def test_a_variant_has_every_fault_or_the_reason_why_it_cannot(variant: type[Variant]) -> None:
    assert set(get_args(Fault)) == set(variant.faults) | (set(variant.lacks) & set(get_args(Fault)))
    assert not set(variant.faults) & set(variant.lacks)


def test_no_two_cases_and_no_two_variants_have_the_same_name() -> None:
    assert len({case.title for case in CASES}) == len(CASES) >= 45
    assert len({variant.title() for variant in COLUMNS}) == len(COLUMNS)


def test_the_table_shows_what_holds_what_is_broken_and_why_a_case_cannot_exist() -> None:
    def cell(row: int, column: int, *, failed: bool = False, instead: str = "") -> Cell:
        titles, names = ("painted", "cancelled"), ("polled", "direct")
        return Cell(
            row=row,
            case=titles[row],
            column=column,
            service="Some",
            mode=names[column],
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
