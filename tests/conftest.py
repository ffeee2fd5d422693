"""Fixtures that several files share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.support", "tests.providers.contract")

from tests.providers.contract import table as contract_table  # noqa: E402
from tests.support.world.world import World, open_house  # noqa: E402 - its assertions explain themselves only from here on


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[World]:
    """The stand-ins around the bot; in the end, what it sent must have been valid."""
    async with open_house(tmp_path) as opened:
        yield opened
        opened.check()


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[World]:
    """The same with all three services."""
    async with open_house(tmp_path, three=True) as opened:
        yield opened
        opened.check()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The contract's table can be kept; what goes over the wire can be recorded anew."""
    parser.addoption("--record", action="store_true", help="write tests/providers/recordings anew")
    parser.addoption("--contract-table", metavar="PATH", help="write the contract's table to this file as well")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the contract's table where any of it ran."""
    found = contract_table.cells(terminalreporter.stats)
    if not found:
        return
    lines = contract_table.table(found)
    terminalreporter.section("contract")
    for line in lines:
        terminalreporter.write_line(line)
    if path := config.getoption("--contract-table"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
