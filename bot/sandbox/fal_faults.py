"""The switches of the fal stand-in: what can go wrong, how often, and how badly."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

FAULTS: Mapping[str, str] = {
    # submit
    "submit_lost": "the work is accepted, the connection closes without an answer",
    "submit_refused": "the connection closes and nothing was accepted",
    "submit_ingress": "502, an nginx page without x-fal-request-id; nothing accepted",
    "submit_error": "`status` (500) with a platform error in JSON; nothing accepted",
    "submit_rate_limited": "429, with Retry-After when `retry_after` is set",
    "submit_slow": "accepted at once, answered after `seconds`",
    "submit_truncated": "accepted, answered with half of the JSON",
    "submit_invalid": "bad input is refused at submit (422) and not only with the result",
    "submit_in_progress": "the answer says IN_PROGRESS at once",
    "foreign_urls": "status_url, response_url and cancel_url begin with `url`",
    "locked": "403 for submits and uploads while status and results still answer; `body` replaces the text",
    "unauthorized": "401 for everything that takes a key",
    "model_gone": "404 for submits to `endpoint` (all when unset) from the day `since` on; `body` replaces it",
    # run
    "slow_queue": "`seconds` in the queue",
    "slow_run": "`seconds` running",
    "stuck": "stays IN_PROGRESS for ever; IN_QUEUE with `body` \"IN_QUEUE\"",
    "run_error": "platform error: `status` (500), `error_type`, `body` the text",
    "model_error": "a model's own error: `status` (422), `error_type` (no_media_generated), `body` the message",
    "hidden_error": "a failed run's status shows neither error nor error_type",
    "fewer_pictures": "`count` fewer pictures than asked (1), at least one",
    "not_a_picture": "text, declared as the picture's type",
    "wrong_type": "a JPEG declared as PNG (a PNG when JPEG was asked)",
    "bomb": "a small PNG that declares `count` x `count` pixels (30000)",
    "foreign_picture": "the pictures' links are `url`",
    # status, also its event stream
    "status_error": "`status` (500) in JSON",
    "status_html": "200 and a page",
    "status_truncated": "half of the JSON",
    "status_reset": "the connection is reset in the middle of the body",
    "status_slow": "answered after `seconds`",
    "stream_cut": "the event stream ends after its first event",
    "stream_error": "the event stream answers `status` (500)",
    # result
    "result_error": "`status` (500) in JSON",
    "result_html": "200 and a page",
    "result_truncated": "half of the JSON",
    "result_reset": "the connection is reset in the middle of the body",
    "result_slow": "answered after `seconds`",
    "result_early": "\"Request is still in progress\" although the status says COMPLETED",
    "result_expired": "404, the result is no longer kept",
    "result_huge": "a body of `size` bytes (32 MiB)",
    # cancel
    "cancel_answer": "`status` (200) and `body` as given, any JSON value; the cancel itself still happens",
    "cancel_ignored": "a running request finishes although it was cancelled",
    # files
    "cdn_error": "`status` (404)",
    "cdn_reset": "the connection is reset in the middle of the picture",
    "cdn_slow": "a slow loris: `size` bytes (64) each `seconds` (0.2)",
    "cdn_redirect": "302 to `url`",
    "cdn_huge": "`size` bytes (64 MiB) without Content-Length",
    "cdn_type": "Content-Type is `body` (text/html)",
    "upload_error": "token, initiate and upload answer `status` (500)",
    "upload_lost": "the upload is stored, the connection closes without an answer",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One switch that is on. What each field means to it stands in FAULTS."""

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
    """The board of switches. `seed` makes "fail at random" repeatable."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._on: dict[str, Fault] = {}
        self.struck: dict[str, int] = {}
        """How often each switch has struck."""

    def set(self, name: str, **values: Any) -> Fault:
        """Turn `name` on; `values` are Fault's fields. ValueError: no such switch or field, a bad value."""
        if name not in FAULTS:
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
        if name in ("foreign_urls", "foreign_picture", "cdn_redirect") and not fault.url:
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
        return {"on": on, "struck": self.struck, "known": dict(FAULTS)}
