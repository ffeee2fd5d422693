"""How fal's stand-in behaves, and the faults that can be turned on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.kit.faults import Faults
from bot.sandbox.kit.server import StandInOptions

FAULTS: Mapping[str, str] = {
    # submit
    "submit_lost": "accepted, and the connection closes without a response",
    "submit_refused": "the connection closes without a response; nothing is accepted",
    "submit_ingress": "502, an nginx page without x-fal-request-id; nothing is accepted",
    "submit_error": "`status` (500) with a platform error in JSON, Retry-After when `retry_after` is set; "
    "nothing is accepted",
    "submit_bare": "`status` (500), `body` as text, Retry-After when `retry_after` is set; nothing is accepted",
    "submit_rate_limited": "429, with Retry-After when `retry_after` is set",
    "submit_slow": "accepted at once; the response comes after `seconds` (1)",
    "submit_truncated": "accepted; the response is half of the JSON",
    "submit_odd": "accepted; the response is `status` (200) and `body`, a text as it is, else as JSON",
    "submit_invalid": "invalid input is refused at submit (422) and not only with the result",
    "submit_in_progress": "the response says IN_PROGRESS at once",
    "foreign_urls": "status_url, response_url and cancel_url begin with `url`",
    "locked": "403 for submits and uploads, while status and results still work; `body` replaces the text",
    "unauthorized": "401 for everything that takes a key",
    "model_gone": "404 for submits to `endpoint` (all when unset) from the day `since` on; `body` replaces it",
    "run_refused": "429 for a synchronous run, as if too many were running",
    "run_lost": "a synchronous run is done and billed, and the connection closes without a response",
    # run
    "slow_queue": "`seconds` in the queue",
    "slow_run": "`seconds` running",
    "stuck": "stays IN_PROGRESS for ever; IN_QUEUE with `body` \"IN_QUEUE\"",
    "run_error": "platform error: `status` (500), `error_type`, `body` the text",
    "model_error": "a model's own error: `status` (422), `error_type` (no_media_generated), `body` the message",
    "hidden_error": "a failed run's status shows neither error nor error_type",
    "fewer_pictures": "`count` (1) fewer pictures than ordered, at least one",
    "not_a_picture": "the first picture is text, declared as the picture's type",
    "wrong_type": "the first picture is a JPEG declared as PNG (a PNG when JPEG was ordered)",
    "run_gone": "the model of `endpoint` (all when unset) ends while it runs, from the day `since` on: "
    "`status` (404), `error_type` (deprecated), `body` the text",
    "file_data": "the pictures come as base64 in `file_data`, and nothing is behind their url",
    "bomb": "the first picture is a small PNG that declares `count` x `count` pixels (30000)",
    "foreign_picture": "the pictures' links are `url`",
    # status, also its event stream
    "odd_place": "queue_position is `body`, any JSON value, also in the response to the submit",
    "odd_log": "every log line is `body`",
    "status_error": "`status` (500) in JSON",
    "status_html": "200 and a page",
    "status_truncated": "half of the JSON",
    "status_reset": "the connection is reset in the middle of the body",
    "status_slow": "the response comes after `seconds` (1)",
    "stream_cut": "the event stream ends after its first event",
    "stream_error": "`status` (500) in JSON instead of the event stream",
    "stream_html": "200 and a page instead of the event stream",
    "stream_hang": "the event stream's connection opens and nothing is sent; it closes after `seconds` (3600)",
    "stream_silent": "the event stream consists of comments only",
    "stream_garbled": "each event has only half of its JSON",
    # result
    "result_error": "`status` (500) in JSON",
    "result_html": "200 and a page",
    "result_truncated": "half of the JSON",
    "result_reset": "the connection is reset in the middle of the body",
    "result_slow": "the response comes after `seconds` (1)",
    "result_early": "\"Request is still in progress\" although the status says COMPLETED",
    "result_expired": "404, as if the result had expired",
    "result_huge": "a body of `size` bytes (32 MiB)",
    "result_gone": "a successful result of `endpoint` (all when unset) becomes, from the day `since` on, "
    "`status` (404), `error_type` (deprecated), `body` the text",
    "result_units": "x-fal-billable-units is `body`; without `body` the header is missing",
    # cancel
    "cancel_answer": "`status` (200) and `body` as given, any JSON value; the cancel itself still happens",
    "cancel_ignored": "a running request finishes although it was cancelled",
    # webhooks
    "webhook_never": "the webhook is not sent",
    "webhook_slow": "the webhook is sent `seconds` (1) after the end",
    "webhook_early": "the webhook is sent and received `seconds` (0.1) before the status says COMPLETED",
    "webhook_twice": "the same delivery is sent again, byte for byte",
    "webhook_forged": "an attempt is signed with a key that is not published",
    "webhook_skewed": "an attempt's timestamp is off by `seconds` (-301), its signature fits",
    "webhook_payload_null": "payload is null, payload_error says why (`body`)",
    "jwks_error": "`status` (500) for the published keys",
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
    "upload_error": "`status` (500) for token, initiate and upload",
    "upload_lost": "the upload is stored, and the connection closes without a response",
}  # fmt: skip


def fal_faults(seed: int = 0) -> Faults:
    """Fal's faults, all off."""
    return Faults(FAULTS, need_url=("foreign_urls", "foreign_picture", "cdn_redirect"), seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHosts:
    """The bases of the URLs that the stand-in hands out, without a slash at the end."""

    queue: str
    rest: str
    cdn: str
    run: str = ""
    """For synchronous runs; empty: they are served at `queue` below /run only."""

    @classmethod
    def all_at(cls, url: str) -> "PublicHosts":
        """One base for all; synchronous runs are below /run."""
        return cls(queue=url, rest=url, cdn=url, run=f"{url}/run")


def _deprecated() -> dict[str, str]:
    """The endpoints that fal listed as deprecated when this was written, and since which day."""
    return {
        "fal-ai/gpt-image-1/text-to-image/byok": "2026-03-19",
        "fal-ai/gpt-image-1/edit-image/byok": "2026-03-19",
    }


@dataclass(kw_only=True, eq=False)
class FalOptions(StandInOptions):
    """The options of fal's stand-in. A `key` is "id:secret"; a forbidden word is a content_policy_violation."""

    queue_seconds: float = 0.2
    queue_ahead: int = 2
    """The queue_position at which a request starts; it falls to 0 over `queue_seconds`."""
    concurrency: int | None = None
    """How many requests may be IN_PROGRESS at once (2 for a new account at fal); None: any number.

    Read once, at start.
    """
    heartbeat_seconds: float = 15.0
    """Between two comment lines of an event stream."""
    url_map: Mapping[str, str] = field(default_factory=dict)
    """Beginnings of input URLs and what to fetch instead, for hosts that do not exist."""
    dollar_units: bool = False
    """x-fal-billable-units is the cost in US dollars, at one dollar a unit; else it counts pictures."""
    balance: float = 25.0
    """US dollars in the response of GET /billing/user_balance."""
    deprecated: Mapping[str, str] = field(default_factory=_deprecated)
    """Endpoint ids and the ISO dates since which the platform lists them as deprecated; they still work."""
    gone: Mapping[str, str] = field(default_factory=dict)
    """Endpoint ids and the ISO dates since which they are 404, for submits and for the platform."""
    user_id: str = "user_of_the_sandbox"
    """X-Fal-Webhook-User-Id."""
    webhook_pauses: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    """Seconds before each further attempt at a webhook (fal: 10 attempts in 2 hours)."""
    webhook_seconds: float = 15.0
    """How long a webhook's receiver may take to respond."""
    faults: Faults = field(default_factory=fal_faults)
