"""How the Oxen stand-in behaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.sandbox.kit.faults import Faults
from bot.sandbox.oxen.faults import oxen_faults

SchemaName = Literal["json_request_schema", "request_schema"]
ErrorShape = Literal["title", "detail", "message", "text", "error_message"]


@dataclass(kw_only=True, eq=False)
class OxenOptions:
    """How the stand-in behaves when nothing is broken; may be changed while it runs."""

    key: str | None = None
    """The one key that is accepted; None: any that is not empty, each of them a user of its own."""
    queue_seconds: float = 0.2
    run_seconds: float = 0.4
    heartbeat_seconds: float = 15.0
    """Between two comment lines in the event stream."""
    foreign_events: bool = True
    """Each completion is preceded by an event of another type, as the stream is shared (Oxen: async queue)."""
    forbidden: tuple[str, ...] = ("forbidden",)
    """Words in a prompt for which the row fails with a moderation text."""
    strict: bool = True
    """A field that the model's schema does not list fails the row; False: it is passed over."""
    extra_fields: tuple[str, ...] = ()
    """More fields that every schema lists: quality, background, input_fidelity, user."""
    schema_name: SchemaName = "json_request_schema"
    """Under which name a model shows its schema: Oxen's pages use both."""
    error_shape: ErrorShape = "title"
    """Where a refusal has its text, besides the two known envelopes; other clients expect any of these."""
    cost_per_image: float = 0.04
    """US dollars; what a picture costs where no grid says otherwise."""
    cost_per_image_grid: Mapping[str, Mapping[str, float]] | None = None
    """{quality: {resolution: dollars}} for gpt-image-1-5; gpt-image-2 has one in any case."""
    credits: float | None = None
    """US dollars left, shared by all users; spent by succeeded rows. None: no end of them."""
    row_ttl_seconds: float | None = None
    """Rows are 404 so long after they were enqueued (86400 in Oxen's older pages); None: they stay."""
    result_seconds: float | None = None
    """How long a result's link lives; None: it stays."""
    results_need_key: bool = True
    """Downloads from its own host need the Bearer key."""
    results_elsewhere: bool = False
    """Downloads are answered with 302 to the second listener, which needs no key and notes when one comes."""
    whole_echo: bool = True
    """Rows repeat what was submitted whole, as Oxen says, data URIs too; False: those shortened."""
    picture_bytes: int | None = None
    """PNGs and JPEGs are filled up to this many bytes."""
    one_picture: bool = False
    """Every generation of one size and format returns the same picture: painted once, for benchmarks."""
    url_map: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of input URLs and what to fetch instead, for hosts that do not exist. Read once, at start."""
    store_bytes: int = 256 * 1024 * 1024
    """The most that pictures may hold in memory; the oldest go first."""
    faults: Faults = field(default_factory=oxen_faults)
