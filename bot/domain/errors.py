"""What may go wrong, each with the sentence that its reader sees.

EaselError                     .sentence is what the member reads
├─ Refused                     before anything was charged; only the asker sees it
│  ├─ QuotaExceeded            no room in an allowance
│  ├─ NotAllowed               a right that is missing
│  ├─ BadPrompt                empty or over-long
│  ├─ BadSource                too big, not a picture, too many, gone
│  ├─ UnsupportedRequest       this model cannot do that
│  ├─ InvalidInput             a moderator's numbers make no sense
│  └─ NotFound                 a job or a picture that is not there
├─ ProviderError
│  ├─ ProviderBusy             429, 5xx, time-outs, cut streams      → later, or elsewhere
│  │  └─ RateLimited           429: the service is well, and asks us to wait
│  ├─ PriceExceeded            the service asks more than was reserved → elsewhere
│  ├─ SubmitUnknown            the answer to a submit was lost       → reconciled; never sent again blindly
│  ├─ ResultLost               painted, and cannot be had any more   → once more, and noted for the operator
│  ├─ TicketLost               the service forgot the job            → refund
│  ├─ PromptRejected           content policy                        → refund, no other service
│  ├─ SourceRejected           the service cannot use the picture    → refund
│  ├─ RequestRejected          the service does not take an option   → refund
│  ├─ GenerationFailed         the service took the work and failed  → refund
│  ├─ InvalidResponse          no picture, or not what was promised  → refund
│  ├─ ModelRetired             the service says that it is gone      → elsewhere, its successor, or refund
│  ├─ ProviderMisconfigured    key or balance                        → elsewhere or refund; tell the operator
│  ├─ JobCancelled             cancelled at the service              → refund
│  └─ GenerationTimeout        an hour went by                       → refund
├─ DeliveryError
│  ├─ DiscordBusy              later
│  └─ ChannelUnavailable       the channel is gone or closed to us   → settle, log
└─ StorageError                the database is away                  → the process stops
SetupError                     for the operator at start: one line, exit code 78, no traceback

The class decides about retry and refund; its sentence tells a member which of four things it was: the prompt,
the picture, the quota or the service.
"""

from __future__ import annotations

from typing import ClassVar

from bot.domain.clock import Instant
from bot.domain.limits import Limit
from bot.domain.money import Money

EXIT_SETUP = 78
"""EX_CONFIG of sysexits.h."""


class EaselError(Exception):
    """Root of the tree. Nothing was charged when one of these reaches a member."""

    default: ClassVar[str] = "Something went wrong."
    about_a_picture: ClassVar[bool] = True
    """Whether a picture was asked for, so that its reader wants to hear what it cost: nothing."""

    def __init__(self, sentence: str | None = None) -> None:
        self.sentence = sentence or self.default
        super().__init__(self.sentence)


class Refused(EaselError):
    """Said before anything was charged."""


class QuotaExceeded(Refused):
    """No room: what is left, when it starts anew, and the rule that says so."""

    def __init__(self, *, wanted: int, left: int, resets_at: Instant, rule: Limit) -> None:
        self.wanted = wanted
        self.left = left
        self.resets_at = resets_at
        self.rule = rule
        many = "picture" if wanted == 1 else "pictures"
        super().__init__(
            f"You asked for {wanted} {many} and have {left} left. "
            f"Your allowance starts anew <t:{resets_at // 1000}:R>."
        )


class NotAllowed(Refused):
    """The person lacks a right."""

    about_a_picture: ClassVar[bool] = False


class BadPrompt(Refused):
    """Empty or over-long."""


class BadSource(Refused):
    """The picture cannot be used."""


class UnsupportedRequest(Refused):
    """The model cannot do that."""


class NotFound(Refused):
    """No such job or picture."""

    about_a_picture: ClassVar[bool] = False


class InvalidInput(Refused):
    """A moderator asked for something that makes no sense."""

    about_a_picture: ClassVar[bool] = False


class ProviderError(EaselError):
    """A service did not paint. `detail` is for the log and never holds a key or a link."""

    default = "The image service had a problem."
    elsewhere: ClassVar[bool] = False
    """Whether another service may be given the work, as long as this one has certainly not accepted it."""

    def __init__(self, sentence: str | None = None, *, detail: str = "") -> None:
        self.detail = detail
        super().__init__(sentence)


class ProviderBusy(ProviderError):
    """Try again later; `retry_after` is in seconds where the service said so."""

    default = "The image service is busy or does not answer."
    elsewhere: ClassVar[bool] = True

    def __init__(self, sentence: str | None = None, *, detail: str = "", retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(sentence, detail=detail)


class RateLimited(ProviderBusy):
    """The service is well and asks us to wait."""


class PriceExceeded(ProviderError):
    """The service asks more for it than was reserved."""

    default = "The image service asks more for this than was reserved."
    elsewhere: ClassVar[bool] = True


class ResultLost(ProviderError):
    """Painted, and perhaps paid for, and nobody can have the pictures any more. `cost` is known or None."""

    default = "The image service painted this, and the pictures were lost on the way."

    def __init__(self, sentence: str | None = None, *, detail: str = "", cost: Money | None = None) -> None:
        self.cost = cost
        super().__init__(sentence, detail=detail)


class SubmitUnknown(ProviderError):
    """The work may have been accepted, and paid for; nobody can tell from here."""

    default = "The image service did not confirm your request."

    def __init__(self, sentence: str | None = None, *, detail: str = "", final: bool = False) -> None:
        """`final`: the service cannot tell, now or ever."""
        self.final = final
        super().__init__(sentence, detail=detail)


class TicketLost(ProviderError):
    """The service no longer knows the job."""

    default = "The image service lost this request."


class PromptRejected(ProviderError):
    """Content policy."""

    default = "The image service will not paint this prompt. Try to say it differently."


class SourceRejected(ProviderError):
    """The service cannot use a picture that it was given."""

    default = "The image service could not use your picture. Try another one."


class RequestRejected(ProviderError):
    """The service does not accept an option."""

    default = "The image service does not accept this combination of options."


class GenerationFailed(ProviderError):
    """The service took the work, tried, and gave up: following it again changes nothing."""

    default = "The image service failed while painting. Asking again may work."


class InvalidResponse(ProviderError):
    """What came back is no picture, or comes from a place that is not trusted."""

    default = "The image service sent something that is not a usable picture."


class ModelRetired(ProviderError):
    """The service says that the model is gone for good."""

    default = "The image service no longer offers this model."
    elsewhere: ClassVar[bool] = True


class ProviderMisconfigured(ProviderError):
    """Key or balance: nothing that a member can change."""

    default = "The image service is not available to this bot right now. Its operator has been told."
    elsewhere: ClassVar[bool] = True


class JobCancelled(ProviderError):
    """Cancelled at the service before it was painted."""

    default = "Cancelled."


class GenerationTimeout(ProviderError):
    """Nothing came for so long that nobody waits any more."""

    default = "The image service took longer than an hour, so this request was given up."


class DeliveryError(EaselError):
    """The pictures could not be posted."""


class DiscordBusy(DeliveryError):
    """Discord did not take it; the same again is harmless."""

    default = "Discord did not take the picture."


class ChannelUnavailable(DeliveryError):
    """The channel is gone, or closed to the bot."""

    default = "Easel may not post in this channel."


class StorageError(EaselError):
    """The database is away; the process ends and its supervisor starts it again."""

    default = "The database does not answer."


class SetupError(Exception):
    """One line for whoever starts the bot."""
