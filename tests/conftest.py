"""Fixtures that several folders share, and the contract tests' table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support", "tests.providers.contract")

from bot.catalog.catalog import Catalog  # noqa: E402
from tests.providers.contract import table as contract_table  # noqa: E402
from tests.support.catalogs import seed_catalog  # noqa: E402
from tests.support.clock import AdjustableClock  # noqa: E402
from tests.support.picture_processes import SHARED  # noqa: E402
from tests.support.world.world import World, open_world  # noqa: E402 - its assertions explain themselves only from here on


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Three models: enough for every rule, and no new model changes a sentence."""
    return seed_catalog()


@pytest.fixture
def clock() -> AdjustableClock:
    """A frozen clock, at noon of 1 January 2026, UTC."""
    return AdjustableClock(frozen=True, start=1_767_268_800_000)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Discord's and fal's stand-ins; in the end, the bot must have sent valid requests only."""
    async with open_world(tmp_path) as opened:
        yield opened
        opened.check_invariants()


@pytest.fixture
async def full_world(tmp_path: Path) -> AsyncIterator[World]:
    """The same with all three providers."""
    async with open_world(tmp_path, all_providers=True) as opened:
        yield opened
        opened.check_invariants()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options to record the providers' requests anew, and to write the contract's table to a file."""
    parser.addoption("--record", action="store_true", help="write tests/providers/recordings anew")
    parser.addoption("--contract-table", metavar="PATH", help="write the contract's table to this file as well")


def pytest_unconfigure() -> None:
    """End the processes in which the tests' pictures were opened."""
    SHARED.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the contract's table where any of its tests ran."""
    found = contract_table.cells(terminalreporter.stats)
    if not found:
        return
    lines = contract_table.table(found)
    terminalreporter.section("contract")
    for line in lines:
        terminalreporter.write_line(line)
    if path := config.getoption("--contract-table"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
