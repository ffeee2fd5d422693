"""How Lumenfall's stand-in behaves, and the faults that can be turned on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.kit.faults import Faults
from bot.sandbox.kit.server import StandInOptions

# `endpoint` in a fault means the bare model id.
FAULTS: Mapping[str, str] = {
    # before the work is accepted; nothing is billed
    "refused": "the connection closes without a response; nothing is accepted",
    "ingress": "`status` (502), an nginx page without X-Lumenfall-Request-Id; nothing is accepted",
    "unauthorized": "401 AUTHENTICATION_FAILED for everything that takes a key",
    "invalid_request": "400 INVALID_REQUEST, `body` the message",
    "insufficient_balance": "402 INSUFFICIENT_BALANCE, `body` the message",
    "model_not_found": "404 MODEL_NOT_FOUND",
    "model_disabled": "404 MODEL_DISABLED from the day `since` on, also in dry runs and in the list of models",
    "rate_limited": "429 RATE_LIMITED, with Retry-After when `retry_after` is set",
    "flat_errors": "errors come as {error_code, message}, or inside error with `body` \"nested\"",
    # the run; accepted, but it fails after run_seconds
    "content_policy": "400 CONTENT_POLICY_VIOLATION, `body` the message",
    "hidden_moderation": "502 ALL_PROVIDERS_EXHAUSTED whose text mentions moderation (`body` replaces it)",
    "exhausted": "502 ALL_PROVIDERS_EXHAUSTED, `body` the message",
    "upstream_error": "`status` (502) UPSTREAM_ERROR, `body` the message",
    "internal_error": "`status` (500) INTERNAL_ERROR",
    "failure_billed": "a failed run costs `size` micro-dollars (5000) all the same",
    "failover": "the first provider fails and the next one paints: two entries in attempts",
    "stuck": "`processing` for ever (`pending` with `body` \"pending\"), and no response",
    # the response; the work is done and billed
    "lost": "the connection closes without a response, after the run or after `seconds`",
    "answer_slow": "the headers come `seconds` (1) late",
    "answer_trickle": "a slow loris: `size` bytes (64) each `seconds` (0.2)",
    "answer_truncated": "half of the JSON",
    "answer_reset": "the connection is reset in the middle of the body",
    "answer_html": "`status` (200) and a page",
    "answer_type": "the right JSON as Content-Type `body` (text/html)",
    "answer_huge": "a body of `size` bytes (32 MiB)",
    "answer_odd": "`status` (200) and `body`, any JSON value",
    "no_metadata": "no metadata",
    "garbage_cost": "metadata.cost is `body` (\"a lot\")",
    "fewer_pictures": "`count` (1) fewer pictures than ordered, at least one",
    "no_pictures": "data is an empty list",
    "empty_item": "the first item has neither url nor b64_json",
    "not_base64": "b64_json is no base64",
    "not_a_picture": "the first picture is text, declared as the picture's type",
    "wrong_type": "the first picture is a JPEG declared as PNG (a PNG when JPEG was ordered)",
    "bomb": "the first picture is a small PNG of `count` x `count` pixels (30000)",
    "foreign_picture": "the pictures' links are `url`",
    # the event stream
    "stream_cut": "the stream ends after its first event, as if it were complete",
    "stream_reset": "the connection is reset in the middle of the first event",
    "stream_garbled": "the first event's data is no JSON",
    "stream_error": "the second event is an error, `body` its message; the work is billed",
    "stream_stall": "`seconds` (1) of silence after the first event",
    # dry runs, and the history of requests
    "dry_run_error": "`status` (500) INTERNAL_ERROR",
    "dry_run_slow": "the response comes after `seconds` (1)",
    "dry_run_html": "`status` (200) and a page",
    "dry_run_truncated": "half of the JSON",
    "dry_run_reset": "the connection is reset in the middle of the body",
    "history_error": "`status` (500) INTERNAL_ERROR",
    "history_slow": "the response comes after `seconds` (1)",
    "history_html": "`status` (200) and a page",
    "history_truncated": "half of the JSON",
    "history_reset": "the connection is reset in the middle of the body",
    "history_late": "a request is listed only `seconds` (60) after it came in, by the stand-in's clock",
    "history_stale": "finished requests are still listed as `processing`, without a cost",
    "balance_error": "`status` (500) INTERNAL_ERROR",
    "models_error": "`status` (500) INTERNAL_ERROR",
    # the media host
    "cdn_error": "`status` (404)",
    "cdn_reset": "the connection is reset in the middle of the picture",
    "cdn_slow": "a slow loris: `size` bytes (64) each `seconds` (0.2)",
    "cdn_redirect": "302 to `url`",
    "cdn_huge": "`size` bytes (64 MiB) without Content-Length",
    "cdn_type": "Content-Type is `body` (text/html)",
}  # fmt: skip


def lumenfall_faults(seed: int = 0) -> Faults:
    """Lumenfall's faults, all off."""
    return Faults(FAULTS, need_url=("foreign_picture", "cdn_redirect"), seed=seed)


@dataclass(kw_only=True, eq=False)
class LumenfallOptions(StandInOptions):
    """The options of Lumenfall's stand-in. A `key` is "lmnfl_id.secret"."""

    run_seconds: float = 0.3
    partial_seconds: float = 0.05
    """Pause before each partial picture of an event stream."""
    url_seconds: float = 3_600.0
    """How long a picture's link works, by the stand-in's clock."""
    prompt_cap: int = 32_000
    """The most characters of a prompt; Lumenfall's error guide says 1000."""
    balance: float | None = 25.0
    """US dollars that were paid in; None: a postpaid account."""
    routes: tuple[str, ...] = ("openai",)
    """The providers that run the requests, in turn; of a model that none of them has, its first one."""
    accepts_prefix: bool = True
    """Whether "openai/gpt-image-1.5" forces a route, or is MODEL_NOT_FOUND (Lumenfall's pages disagree)."""
    streams: bool = True
    """Whether `stream: true` gives an event stream, or is ignored."""
    stream_metadata: bool = False
    """Whether a completed event carries Lumenfall's metadata; its pages do not say."""
    dry_run_in_metadata: bool = False
    """A dry run has `metadata.cost` instead of `total_cost_micros` (Lumenfall's pages disagree)."""
    includes_usage: bool = False
    """Whether a JSON response carries OpenAI's `usage`."""
    revises_prompts: bool = True
    """Whether the first picture of a response has a `revised_prompt`."""
    stores_payloads: bool = False
    """Whether a request in the history has `payloads` with links to its pictures."""
    cancels_on_disconnect: bool = False
    """Whether a run stops, unbilled, when the client disconnects; else it goes on and is billed."""
    faults: Faults = field(default_factory=lumenfall_faults)
