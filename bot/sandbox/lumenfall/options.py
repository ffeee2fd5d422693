"""How the Lumenfall stand-in behaves."""

from dataclasses import dataclass, field

from bot.sandbox.kit.faults import Faults
from bot.sandbox.lumenfall.faults import lumenfall_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHosts:
    """The beginnings of the URLs that are handed out, without a slash at the end."""

    media: str

    @classmethod
    def all_at(cls, url: str) -> "PublicHosts":
        """One base for everything."""
        return cls(media=url)


@dataclass(kw_only=True, eq=False)
class LumenfallOptions:
    """How the stand-in behaves when nothing is broken; may be changed while it runs."""

    key: str | None = None
    """The one key ("lmnfl_id.secret") that is accepted; None: any well-formed one."""
    run_seconds: float = 0.3
    partial_seconds: float = 0.05
    """Before each partial picture of an event stream."""
    forbidden: tuple[str, ...] = ("forbidden",)
    """Words in a prompt that are a CONTENT_POLICY_VIOLATION."""
    picture_bytes: int | None = None
    """PNGs and JPEGs are filled up to this many bytes."""
    one_picture: bool = False
    """Every generation of one size and format returns the same picture: painted once, for benchmarks."""
    store_bytes: int = 256 * 1024 * 1024
    """The most that pictures may hold in memory; the oldest go first. Read once, at start."""
    url_seconds: float = 3_600.0
    """How long a picture's link works, by the sandbox's clock."""
    prompt_cap: int = 32_000
    """Characters of a prompt; Lumenfall's own error guide says 1000."""
    balance: float | None = 25.0
    """Dollars that were paid in; None: a postpaid account."""
    routes: tuple[str, ...] = ("openai",)
    """Who executes, in turn: openai, fal, replicate."""
    accepts_prefix: bool = True
    """Whether "openai/gpt-image-1.5" forces a route, or is MODEL_NOT_FOUND (its pages disagree)."""
    streams: bool = True
    """Whether `stream: true` is answered with events, or ignored."""
    stream_metadata: bool = False
    """Whether a completed event carries Lumenfall's metadata; nobody knows."""
    dry_run_in_metadata: bool = False
    """A dry run tells `metadata.cost` instead of `total_cost_micros` (its pages disagree)."""
    tells_usage: bool = False
    """Whether a plain answer carries OpenAI's `usage`."""
    revises_prompts: bool = True
    """Whether the first picture of an answer has a `revised_prompt`."""
    stores_payloads: bool = False
    """Whether one request's history has `payloads` with links to its pictures."""
    cancels_on_disconnect: bool = False
    """Whether work ends, unbilled, when its caller hangs up; else it goes on and is billed."""
    faults: Faults = field(default_factory=lumenfall_faults)
