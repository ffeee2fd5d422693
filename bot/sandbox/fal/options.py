"""How the fal stand-in behaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.fal.faults import fal_faults
from bot.sandbox.kit.faults import Faults


def _deprecated() -> dict[str, str]:
    """The endpoints that were reported deprecated when this was written, and since when."""
    return {
        "fal-ai/gpt-image-1/text-to-image/byok": "2026-03-19",
        "fal-ai/gpt-image-1/edit-image/byok": "2026-03-19",
    }


@dataclass(kw_only=True, eq=False)
class FalOptions:
    """How the stand-in behaves when nothing is broken; may be changed while it runs."""

    key: str | None = None
    """The one key ("id:secret") that is accepted; None: any well-formed one."""
    queue_seconds: float = 0.2
    run_seconds: float = 0.4
    queue_ahead: int = 2
    """The queue_position with which a request begins; it falls to 0 over `queue_seconds`."""
    concurrency: int | None = None
    """How many may be IN_PROGRESS at once (fal begins with 2); None: any number. Read once, at start."""
    heartbeat_seconds: float = 15.0
    """Between two comment lines in an event stream."""
    forbidden: tuple[str, ...] = ("forbidden",)
    """Words in a prompt that are a content_policy_violation."""
    picture_bytes: int | None = None
    """PNGs and JPEGs are filled up to this many bytes."""
    one_picture: bool = False
    """Every generation of one size and format returns the same picture: painted once, for benchmarks."""
    url_map: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of input URLs and what to fetch instead, for hosts that do not exist."""
    store_bytes: int = 256 * 1024 * 1024
    """The most that uploads and pictures may hold in memory; the oldest go first."""
    dollar_units: bool = False
    """x-fal-billable-units is the cost in US dollars, at one dollar the unit; else it counts pictures."""
    balance: float = 25.0
    """US dollars that GET /billing/user_balance answers."""
    deprecated: Mapping[str, str] = field(default_factory=_deprecated)
    """Endpoint ids and the ISO dates since when the platform lists them as deprecated; they still work."""
    gone: Mapping[str, str] = field(default_factory=dict)
    """Endpoint ids and the ISO dates since when they are 404, for submits and for the platform."""
    user_id: str = "user_of_the_sandbox"
    """X-Fal-Webhook-User-Id."""
    webhook_pauses: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Seconds before each further attempt at a webhook (fal: 10 attempts in 2 hours)."""
    webhook_seconds: float = 15.0
    """How long a receiver may take to answer."""
    faults: Faults = field(default_factory=fal_faults)
