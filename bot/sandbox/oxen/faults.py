"""The switches of the Oxen stand-in. `endpoint` is a model's id, for those that speak of models."""

from collections.abc import Mapping

from bot.sandbox.kit.faults import Faults

_SPOILT = {
    "status": "GET /ai/queue/{id}",
    "list": "GET /ai/queue",
    "cancel": "DELETE /ai/queue/{id}, which is carried out all the same",
    "cost": "GET /ai/generations and /ai/generations/{id}",
    "models": "GET /ai/models, /ai/models/{id} and /ai/models/search",
    "me": "GET /users/me",
}
_WAYS = {
    "error": "`status` (500) in JSON, with Retry-After when `retry_after` is set",
    "html": "a page, `status` (200)",
    "truncated": "half of the JSON",
    "reset": "the connection is reset in the middle of the body",
    "slow": "answered after `seconds` (1)",
    "odd": "200 and `body`, any JSON value",
}

FAULTS: Mapping[str, str] = {
    "unauthorized": "401 for everything that takes a key",
    # submit: the queue and both synchronous calls
    "submit_lost": "the work is accepted, the connection closes without an answer",
    "submit_refused": "the connection closes and nothing was accepted",
    "submit_error": "`status` (500) in JSON, Retry-After when `retry_after` is set; nothing accepted",
    "submit_error_late": "accepted, and `status` (500) in JSON all the same",
    "submit_html": "502, an nginx page; nothing accepted",
    "submit_rate_limited": "429, with Retry-After when `retry_after` is set",
    "submit_slow": "accepted at once, answered after `seconds` (1)",
    "submit_truncated": "accepted, answered with half of the JSON",
    "submit_reset": "accepted, the connection is reset in the middle of the body",
    "submit_empty": "200, an empty list of generations and `body` as the error; nothing accepted",
    "submit_odd": "accepted, answered with `status` (200) and `body`, any JSON value",
    "submit_processing": "accepted, the answer says processing instead of queued (older pages)",
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
    "charged_anyway": "a failed row costs as much as a good one",
    "row_gone_running": "404 for the row from its next look-up on, while it is not finished; the work goes on",
    "row_gone_done": "404 for the row from its next look-up on, once it is finished",
    "result_missing": "succeeded, and result_url is null",
    "foreign_picture": "the result's link is `url`",
    "not_a_picture": "text, declared as the picture's type",
    "wrong_type": "a JPEG declared as PNG (a PNG when JPEG was asked)",
    "bomb": "a small PNG that declares `count` x `count` pixels (30000)",
    # events
    "events_refused": "the stream is refused with `status` (503)",
    "events_silent": "the completion is never told; comments go on",
    "events_late": "the completion is told after `seconds` (1)",
    "events_garbled": "the completion's data is cut off in the middle, so no JSON",
    "events_wrong": "the completion says failed for a row that succeeded, and the other way round",
    "events_flood": "`count` (200) foreign events come first, other rows' completions among them",
    "events_cut": "the connection is reset in the middle of the completion",
    "events_ended": "the stream ends as soon as it has begun",
    # cancel
    "cancel_other": "answered {generation_id, status: cancelled} instead of {status: success, generation_id}",
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
    **{f"{kind}_{way}": f"{what}: {how}" for kind, what in _SPOILT.items() for way, how in _WAYS.items()},
}  # fmt: skip


def oxen_faults(seed: int = 0) -> Faults:
    """A board with Oxen's switches."""
    return Faults(FAULTS, need_url=("foreign_picture", "cdn_redirect"), seed=seed)
