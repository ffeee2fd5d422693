"""The request of a failed job, asked for again with another model."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.errors import BadSource, NotAllowed, NotFound, PriceRisen
from bot.domain.jobs import Job
from bot.domain.money import Money
from bot.domain.requests import ImageRequest, Requester
from bot.usecases.inheritance import LEFT_OUT

UPLOAD_AGAIN = "Easel no longer has what you uploaded. Upload it again with /edit."


def check_retry(failed: Job, requester: Requester) -> None:
    """Check that this member may ask for a failed job's request again.

    Raises:
        NotFound: the request is of another server.
        NotAllowed: it is another member's.
    """
    if failed.requester.guild_id != requester.guild_id:
        raise NotFound("Easel does not know this request.")
    if failed.requester.user_id != requester.user_id:
        raise NotAllowed(
            "Only the one who asked for this can ask for it again. Type /imagine for one of your own."
        )


def retried_request(failed: Job, model: str) -> ImageRequest:
    """The same request with another model. What an edit could not take over stays said."""
    left_out = tuple(clause for clause in failed.request.fallbacks if LEFT_OUT in clause)
    return replace(failed.request, model=model, instead_of=None, fallbacks=left_out)


def retried_before(label: str, *, ended: bool) -> BadSource:
    """The refusal of a second press; `label` is the model's, `ended` whether the first one's job has ended."""
    if ended:
        return BadSource(f"You have asked {label} for this before. Type /imagine or /edit to ask once more.")
    return BadSource(f"{label} is painting this already.")


def price_risen(price: Money) -> PriceRisen:
    """The refusal of a press on a button that names a lower price."""
    return PriceRisen(f"This costs more by now: at most {price}. Press again if that is all right.")
