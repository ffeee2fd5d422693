"""Whether another model is offered where a job fails."""

from __future__ import annotations

from bot.domain.choices import AlternativeModel
from bot.domain.errors import EaselError, ProviderError, UnsupportedRequest
from bot.routing.alternatives import alternative_model
from bot.worker.context import ClaimedJob


def alternative_for(claimed: ClaimedJob, error: EaselError) -> AlternativeModel | None:
    """The model to offer where no provider takes the job with its own; None where another would not help.

    An error after which the next provider may be asked ends a job only where there is no next one.
    """
    nobody_takes_it = isinstance(error, ProviderError) and error.may_fail_over
    if not nobody_takes_it and not isinstance(error, UnsupportedRequest):
        return None
    return alternative_model(claimed.context.router, claimed.job.request, claimed.orders, claimed.failed_at)
