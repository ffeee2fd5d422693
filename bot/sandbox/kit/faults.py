"""Fault switches: what can go wrong in a stand-in, how often, and how badly."""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One switch that is on. The stand-in's own list of faults says what each field means to it."""

    name: str
    times: int | None = None
    """How often the fault still strikes; None: always."""
    probability: float = 1.0
    """Chance from 0 to 1 that the fault strikes each time it could; drawn from the seed of `Faults`."""
    endpoint: str | None = None
    """The endpoint or model id whose requests are struck; None: all."""
    status: int | None = None
    seconds: float | None = None
    retry_after: str | None = None
    url: str | None = None
    body: Any = None
    error_type: str | None = None
    count: int | None = None
    size: int | None = None
    since: str | None = None
    """An ISO date: before that day (UTC, by the stand-in's clock) the fault does not strike."""

    def begun(self, now: float) -> bool:
        """Whether `since` has come, `now` in seconds since 1970."""
        return self.since is None or datetime.fromtimestamp(now, UTC).date() >= date.fromisoformat(self.since)

    def seconds_or(self, default: float) -> float:
        """`seconds`, or the default when they are unset; 0 counts as set."""
        return default if self.seconds is None else self.seconds

    @property
    def retry_headers(self) -> dict[str, str]:
        """The Retry-After header, when `retry_after` is set."""
        return {"Retry-After": self.retry_after} if self.retry_after else {}


Strike = Callable[[str], Fault | None]
"""Takes a fault's name; returns the fault when it strikes this time."""


class ModelStrike(Protocol):
    """Like `Strike`, for the requests to one endpoint or model."""

    def __call__(self, name: str, model: str | None = None) -> Fault | None:
        """The fault when it strikes this time."""


class Faults:
    """The switches of one stand-in: `known` maps each name to what it does; those in `need_url` need `url`.

    `seed` makes faults with a probability repeatable.
    """

    def __init__(self, known: Mapping[str, str], *, need_url: Collection[str] = (), seed: int = 0) -> None:
        self._known = dict(known)
        self._need_url = frozenset(need_url)
        self._random = random.Random(seed)
        self._on: dict[str, Fault] = {}
        self.struck: dict[str, int] = {}
        """How often each fault has struck, by name."""

    def set(self, name: str, **values: Any) -> Fault:
        """Turn `name` on; `values` are Fault's fields. ValueError: no such switch or field, or a bad value."""
        if name not in self._known:
            raise ValueError(f"no such fault: {name}")
        try:
            fault = Fault(name=name, **values)
            fault.begun(0)
            if not 0 <= float(fault.probability) <= 1:
                raise ValueError(f"{name}: probability is from 0 to 1")
            if fault.times is not None and fault.times < 1:
                raise ValueError(f"{name}: times is at least 1")
        except TypeError as error:
            raise ValueError(f"{name}: {error}") from error
        if name in self._need_url and not fault.url:
            raise ValueError(f"{name} needs url")
        self._on[name] = fault
        return fault

    def clear(self, *names: str) -> None:
        """Turn these faults off; all of them when none is named."""
        for name in names or tuple(self._on):
            self._on.pop(name, None)

    def reseed(self, seed: int) -> None:
        """Restart the random draws from this seed."""
        self._random = random.Random(seed)

    def strike(self, name: str, *, now: float = 0, endpoint: str | None = None) -> Fault | None:
        """The fault if it strikes this time, which uses up one of its `times`; else None."""
        fault = self._on.get(name)
        if fault is None or not fault.begun(now) or (fault.endpoint and fault.endpoint != endpoint):
            return None
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return None
        if fault.times is not None:
            left = fault.times - 1
            if left:
                self._on[name] = replace(fault, times=left)
            else:
                del self._on[name]
        self.struck[name] = self.struck.get(name, 0) + 1
        return fault

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Carry out the control endpoint's JSON: {"seed": 7, "clear": true | [names], "set": [{"name": …}]}."""
        unknown = set(changes) - {"seed", "clear", "set"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if "seed" in changes:
            self.reseed(int(changes["seed"]))
        if changes.get("clear") is True:
            self.clear()
        elif changes.get("clear"):
            self.clear(*changes["clear"])
        for entry in changes.get("set", ()):
            self.set(**entry)

    def as_json(self) -> dict[str, Any]:
        """The faults that are on, how often each has struck, and all that are known."""
        on = [
            {key: value for key, value in asdict(fault).items() if value is not None}
            for fault in self._on.values()
        ]
        return {"on": on, "struck": self.struck, "known": self._known}
