"""A case of the contract: what is promised, and the assertion for every variant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.providers.contract.world import ContractWorld

Check = Callable[..., Awaitable[str | None]]
"""Asserts it. It returns why the case cannot exist for a variant; then it has asserted the alternative."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table."""

    title: str
    check: Callable[[ContractWorld], Awaitable[str | None]]


class Cases(list[Case]):
    """The rows of one file, in its order."""

    def __call__(self, title: str, *values: Any) -> Callable[[Check], Check]:
        """A case; with values, one for each, which is put into the title."""

        def listed(check: Check) -> Check:
            if not values:
                self.append(Case(title, check))
            for value in values:
                self.append(Case(title.format(value), partial(_with, check, value)))
            return check

        return listed


def _with(check: Check, value: Any, world: ContractWorld) -> Awaitable[str | None]:
    return check(world, value)
