"""How Oxen's stand-in behaves, and the faults that can be turned on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.sandbox.kit.faults import Faults
from bot.sandbox.kit.server import StandInOptions

SchemaName = Literal["json_request_schema", "request_schema"]
ErrorShape = Literal["title", "detail", "message", "text", "error_message"]

# `endpoint` in a fault means a model's id.
_BREAKABLE = {
    "status": "GET /ai/queue/{id}",
    "list": "GET /ai/queue",
    "cancel": "DELETE /ai/queue/{id}, which is carried out nevertheless",
    "cost": "GET /ai/generations and /ai/generations/{id}",
    "models": "GET /ai/models, /ai/models/{id} and /ai/models/search",
    "me": "GET /users/me",
}
_WAYS = {
    "error": "`status` (500) in JSON, with Retry-After when `retry_after` is set",
    "html": "a page, `status` (200)",
    "truncated": "half of the JSON",
    "reset": "the connection is reset in the middle of the body",
    "slow": "the response comes after `seconds` (1)",
    "odd": "200 and `body`, any JSON value",
}

FAULTS: Mapping[str, str] = {
    "unauthorized": "401 for everything that takes a key",
    # submit: the queue and both synchronous calls
    "submit_lost": "accepted, and the connection closes without a response",
    "submit_refused": "the connection closes without a response; nothing is accepted",
    "submit_error": "`status` (500) in JSON, Retry-After when `retry_after` is set; nothing is accepted",
    "submit_error_late": "accepted, and nevertheless `status` (500) in JSON",
    "submit_html": "502, an nginx page; nothing is accepted",
    "submit_rate_limited": "429, with Retry-After when `retry_after` is set",
    "submit_slow": "accepted at once; the response comes after `seconds` (1)",
    "submit_truncated": "accepted; the response is half of the JSON",
    "submit_reset": "accepted, the connection is reset in the middle of the body",
    "submit_empty": "200, an empty list of generations and `body` as the error; nothing is accepted",
    "submit_odd": "accepted; the response is `status` (200) and `body`, any JSON value",
    "submit_processing": "accepted; the response says processing instead of queued (older pages)",
    "model_gone": "404 for submits to `endpoint` (all when unset) and its details from the day `since` on",
    "no_credit": "`status` (402) \"Insufficient credits\"",
    "no_credit_text": "`status` (400) {\"error\": \"Insufficient credits\"}",
    "no_credit_row": "accepted, the row fails with \"Insufficient credits\"",
    # run
    "slow_queue": "`seconds` queued",
    "slow_run": "`seconds` processing",
    "stuck": "stays processing for ever; queued with `body` \"queued\"",
    "run_error": "the row fails with `body` as its text",
    "fail_some": "the last `count` (1) rows of a submit fail with `body` as their text",
    "charged_anyway": "a failed row costs as much as one that succeeded",
    "row_gone_running": "404 for the row from its next look-up on, while it is not finished; the work goes on",
    "row_gone_done": "404 for the row from its next look-up on, once it is finished",
    "result_missing": "succeeded, and result_url is null",
    "foreign_picture": "the result's link is `url`",
    "not_a_picture": "text, declared as the picture's type",
    "wrong_type": "a JPEG declared as PNG (a PNG when JPEG was ordered)",
    "bomb": "a small PNG that declares `count` x `count` pixels (30000)",
    # events
    "events_refused": "the stream is refused with `status` (503)",
    "events_silent": "no completion is sent; comments go on",
    "events_late": "the completion is sent `seconds` (1) late",
    "events_garbled": "the completion's data is cut off in the middle, so no JSON",
    "events_wrong": "the completion says failed for a row that succeeded, and the other way round",
    "events_flood": "`count` (200) foreign events come first, other rows' completions among them",
    "events_cut": "the connection is reset in the middle of the completion",
    "events_empty": "the stream is a flood of empty lines, until the client closes it",
    "events_ended": "the stream ends as soon as it has begun",
    # cancel
    "cancel_other": "the response is {generation_id, status: cancelled}, not {status: success, generation_id}",
    "cancel_answer": "`status` (200) and `body` as given, any JSON value; the cancel itself still happens",
    "cancel_ignored": "a row that is processing finishes although it was cancelled",
    # cost
    "cost_missing": "a charged row shows cost null",
    "cost_garbage": "cost is `body`, any JSON value (\"about four cents\")",
    # results
    "cdn_error": "`status` (404)",
    "cdn_reset": "the connection is reset in the middle of the picture",
    "cdn_slow": "a slow loris: `size` bytes (64) each `seconds` (0.2)",
    "cdn_redirect": "302 to `url`",
    "cdn_loop": "302 to the same link again",
    "cdn_huge": "`size` bytes (64 MiB) without Content-Length",
    "cdn_type": "Content-Type is `body` (text/html)",
    **{f"{kind}_{way}": f"{what}: {how}" for kind, what in _BREAKABLE.items() for way, how in _WAYS.items()},
}  # fmt: skip


def oxen_faults(seed: int = 0) -> Faults:
    """Oxen's faults, all off."""
    return Faults(FAULTS, need_url=("foreign_picture", "cdn_redirect"), seed=seed)


@dataclass(kw_only=True, eq=False)
class OxenOptions(StandInOptions):
    """The options of Oxen's stand-in.

    Each `key` is a user of its own; without one, any text is valid. A forbidden word fails the row.
    """

    queue_seconds: float = 0.2
    heartbeat_seconds: float = 15.0
    """Between two comment lines in the event stream."""
    foreign_events: bool = True
    """Each completion is preceded by an event of another type, as the stream is shared (Oxen: async queue)."""
    strict: bool = True
    """A field that the model's schema does not list fails the row; False: it is ignored."""
    extra_fields: tuple[str, ...] = ()
    """Further fields that every schema lists: quality, background, input_fidelity, user."""
    schema_name: SchemaName = "json_request_schema"
    """The field that holds a model's schema: Oxen's pages use both."""
    error_shape: ErrorShape = "title"
    """Where an error has its text, besides the two known envelopes; other clients expect any of these."""
    cost_per_image: float = 0.04
    """US dollars for a picture of gpt-image-1-5, whose price is not known."""
    cost_per_image_grid: Mapping[str, Mapping[str, float]] | None = None
    """{quality: {resolution: dollars}} for gpt-image-1-5; the other models have prices of their own."""
    credits: float | None = None
    """US dollars left, shared by all users; spent by succeeded rows. None: unlimited."""
    row_ttl_seconds: float | None = None
    """Seconds after which a row is 404 (86400 in Oxen's older pages); None: never."""
    result_seconds: float | None = None
    """Seconds after which a result's link is 404; None: never."""
    results_need_key: bool = True
    """Downloads from its own host need the Bearer key."""
    results_elsewhere: bool = False
    """Downloads redirect (302) to the second listener, which needs no key and records whether one came."""
    whole_echo: bool = True
    """Rows repeat the submitted parameters in full, data URIs too, as Oxen documents; False: shortened."""
    url_map: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of input URLs and what to fetch instead, for hosts that do not exist."""
    faults: Faults = field(default_factory=oxen_faults)
