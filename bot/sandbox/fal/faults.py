"""The switches of the fal stand-in."""

from collections.abc import Mapping

from bot.sandbox.kit.faults import Faults

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
    "run_refused": "a synchronous run is answered 429, as if too many were running",
    "run_lost": "a synchronous run is done and counts, the connection closes without an answer",
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
    "run_gone": "the model of `endpoint` (all when unset) ends while it runs, from the day `since` on: "
    "`status` (404), `error_type` (deprecated), `body` the text",
    "file_data": "the pictures come as base64 in `file_data`, and nothing is behind their url",
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
    "stream_html": "the event stream answers 200 and a page",
    "stream_hang": "the event stream's connection is taken, not a byte comes; it closes after `seconds` (an hour)",
    "stream_silent": "the event stream has nothing but comments",
    "stream_garbled": "each event has only half of its JSON",
    # result
    "result_error": "`status` (500) in JSON",
    "result_html": "200 and a page",
    "result_truncated": "half of the JSON",
    "result_reset": "the connection is reset in the middle of the body",
    "result_slow": "answered after `seconds`",
    "result_early": "\"Request is still in progress\" although the status says COMPLETED",
    "result_expired": "404, the result is no longer kept",
    "result_huge": "a body of `size` bytes (32 MiB)",
    "result_gone": "the result of `endpoint` (all when unset) that was well is, from the day `since` on, "
    "`status` (404), `error_type` (deprecated), `body` the text",
    "result_units": "x-fal-billable-units is `body`; it is missing without one",
    # cancel
    "cancel_answer": "`status` (200) and `body` as given, any JSON value; the cancel itself still happens",
    "cancel_ignored": "a running request finishes although it was cancelled",
    # webhooks
    "webhook_never": "it is not sent",
    "webhook_slow": "it is sent `seconds` (1) after the end",
    "webhook_early": "it is sent, and answered, `seconds` (0.1) before the status says COMPLETED",
    "webhook_twice": "the same delivery comes again, byte for byte",
    "webhook_forged": "an attempt is signed with a key that is not published",
    "webhook_skewed": "an attempt's timestamp is off by `seconds` (-301), its signature fits",
    "webhook_payload_null": "payload is null, payload_error says why (`body`)",
    "jwks_error": "the published keys answer `status` (500)",
    # platform API
    "platform_error": "`status` (500) in the platform's envelope, `error_type`, `body` the text",
    "platform_rate_limited": "429, with Retry-After when `retry_after` is set",
    "platform_deprecated": "`endpoint` (all when unset) is listed as deprecated from the day `since` on",
    "platform_gone": "`endpoint` (all when unset) is not known to the platform from the day `since` on",
    "platform_html": "200 and a page",
    "balance": "the balance is `body`, any JSON value; `status` (200)",
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


def fal_faults(seed: int = 0) -> Faults:
    """A board with fal's switches."""
    return Faults(FAULTS, need_url=("foreign_urls", "foreign_picture", "cdn_redirect"), seed=seed)
