"""A board of switches: what can go wrong in a stand-in, how often, and how badly."""

import random
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One switch that is on. What each field means to it stands in the board's list."""

    name: str
    times: int | None = None
    """How often it still strikes; None: always."""
    probability: float = 1.0
    """Chance that it strikes, each time it could; drawn from the board's own seed."""
    endpoint: str | None = None
    """Only requests to this endpoint id; None: all."""
    status: int | None = None
    seconds: float | None = None
    retry_after: str | None = None
    url: str | None = None
    body: Any = None
    error_type: str | None = None
    count: int | None = None
    size: int | None = None
    since: str | None = None
    """An ISO date: before that day (UTC, by the sandbox's clock) the switch does nothing."""

    def begun(self, now: float) -> bool:
        """Whether `since` has come, `now` in seconds since 1970."""
        return self.since is None or datetime.fromtimestamp(now, UTC).date() >= date.fromisoformat(self.since)


class Faults:
    """A board of the switches in `known` (name: what it does); `need_url` of them need `url`.

    `seed` makes "fail at random" repeatable.
    """

    def __init__(self, known: Mapping[str, str], *, need_url: Collection[str] = (), seed: int = 0) -> None:
        self._known = dict(known)
        self._need_url = frozenset(need_url)
        self._random = random.Random(seed)
        self._on: dict[str, Fault] = {}
        self.struck: dict[str, int] = {}
        """How often each switch has struck."""

    def set(self, name: str, **values: Any) -> Fault:
        """Turn `name` on; `values` are Fault's fields. ValueError: no such switch or field, a bad value."""
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
        """Turn these switches off; all of them when none is named."""
        for name in names or tuple(self._on):
            self._on.pop(name, None)

    def reseed(self, seed: int) -> None:
        """Begin the random draws anew."""
        self._random = random.Random(seed)

    def strike(self, name: str, *, now: float = 0, endpoint: str | None = None) -> Fault | None:
        """The fault if it strikes this time, and one of its `times` is used up; else None."""
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

    def apply(self, order: Mapping[str, Any]) -> None:
        """Carry out the control endpoint's JSON: {"seed": 7, "clear": true | [names], "set": [{"name": …}]}."""
        unknown = set(order) - {"seed", "clear", "set"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        if "seed" in order:
            self.reseed(int(order["seed"]))
        if order.get("clear") is True:
            self.clear()
        elif order.get("clear"):
            self.clear(*order["clear"])
        for entry in order.get("set", ()):
            self.set(**entry)

    def as_json(self) -> dict[str, Any]:
        """What is on, what has struck, and what there is."""
        on = [
            {key: value for key, value in asdict(fault).items() if value is not None}
            for fault in self._on.values()
        ]
        return {"on": on, "struck": self.struck, "known": self._known}
