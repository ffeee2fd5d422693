"""Every error, each with the sentence that its reader sees.

EaselError                     .sentence is what the member reads
├─ Refused                     before anything was charged; only the member sees it
│  ├─ QuotaExceeded            no room in an allowance
│  ├─ NotAllowed               a right is missing
│  ├─ BadPrompt                empty or too long
│  ├─ BadSource                too big, not a picture, too many, gone
│  ├─ UnsupportedRequest       the model cannot do it
│  ├─ PriceRisen               it costs more than the member was told
│  ├─ InvalidInput             a moderator's input makes no sense
│  └─ NotFound                 no such job or picture
├─ ProviderError
│  ├─ ProviderBusy             429, 5xx, time-outs, cut streams       → later, or the next provider
│  │  ├─ RateLimited           429: the provider is well, and asks us to wait
│  │  └─ SubmitFailed          a submit was answered with a 5xx      → ask, where that is possible; then as above
│  ├─ PriceExceeded            it costs more than was reserved        → the next provider
│  ├─ SubmitUnknown            the response to a submit was lost      → reconcile; never send it again blindly
│  ├─ SubmitUnreadable         the response leads nowhere             → the next provider, not this one again
│  ├─ ResultLost               generated, and out of reach for ever   → submit once more, note it for the operator
│  ├─ TicketLost               the provider forgot the job            → release, note it for the operator
│  ├─ PromptRejected           content policy                         → release, no other provider
│  ├─ SourceRejected           the provider cannot use the picture    → release
│  ├─ RequestRejected          the provider does not take an option   → release
│  ├─ GenerationFailed         the provider accepted it and failed    → release
│  ├─ InvalidResponse          not a usable picture                   → release, note it for the operator
│  │  └─ NoPicture             finished, and there is none            → as above
│  ├─ ModelRetired             the provider says that it is gone      → next provider, successor, or release
│  ├─ ProviderMisconfigured    key or balance                         → next provider or release; tell the operator
│  ├─ JobCancelled             cancelled before it was delivered      → release
│  ├─ GenerationTimeout        no result within the job's patience    → release
│  └─ ResultUnreachable        generated, and cannot be fetched       → release, note it for the operator
├─ DeliveryError
│  ├─ DiscordBusy              → later
│  ├─ DeliveryTimeout          Discord was away for a day             → settle, log
│  └─ ChannelUnavailable       the channel is gone or closed to us    → settle, log
├─ Interrupted                 the process ended before the member was told why  → release
├─ StorageError                the database is away                   → the process stops
└─ Bug                         a mistake of ours, with a code         → release
SetupError                     for the operator at start: one line, exit code 78, no traceback

The class decides about retry, release of the reservation and words; nothing branches on a message.
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
    """Whether it answers a request for a picture, so that the member is told that nothing was charged."""

    def __init__(self, sentence: str | None = None) -> None:
        self.sentence = sentence or self.default
        super().__init__(self.sentence)


class Refused(EaselError):
    """Refused before anything was charged."""


class QuotaExceeded(Refused):
    """No room in an allowance: `left` pictures until `resets_at`, by the narrowest `limit`."""

    def __init__(self, *, wanted: int, left: int, resets_at: Instant, limit: Limit) -> None:
        self.wanted = wanted
        self.left = left
        self.resets_at = resets_at
        self.limit = limit
        many = "picture" if wanted == 1 else "pictures"
        super().__init__(f"You asked for {wanted} {many} and have {left} left.")


class NotAllowed(Refused):
    """The member lacks a right."""

    about_a_picture: ClassVar[bool] = False


class BadPrompt(Refused):
    """The prompt is empty or too long."""


class BadSource(Refused):
    """The picture cannot be used."""


class UnsupportedRequest(Refused):
    """The model cannot do what was asked for."""


class PriceRisen(Refused):
    """It costs more by now than the member was told."""


class NotFound(Refused):
    """No such job or picture."""

    about_a_picture: ClassVar[bool] = False


class InvalidInput(Refused):
    """A moderator's input makes no sense."""

    about_a_picture: ClassVar[bool] = False


class ProviderError(EaselError):
    """The provider did not deliver. `detail` is for the log, and never holds a key, a link or a prompt."""

    default = "The image service had a problem."
    may_fail_over: ClassVar[bool] = False
    """Whether the work may go to another provider, as long as this one has certainly not accepted it."""

    def __init__(self, sentence: str | None = None, *, detail: str = "") -> None:
        self.detail = detail
        super().__init__(sentence)


class ProviderBusy(ProviderError):
    """Try again later; `retry_after` is in seconds, None where the provider names no time."""

    default = "The image service is busy or does not answer."
    may_fail_over: ClassVar[bool] = True

    def __init__(self, sentence: str | None = None, *, detail: str = "", retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(sentence, detail=detail)


class RateLimited(ProviderBusy):
    """The provider is well and asks us to wait."""


class SubmitFailed(ProviderBusy):
    """The provider responded to a submit with a 5xx, which says that it has not accepted the work."""

    def __init__(
        self,
        sentence: str | None = None,
        *,
        detail: str = "",
        retry_after: float | None = None,
        certain: bool = False,
    ) -> None:
        """`certain`: the body says as much, so that nothing can have been billed."""
        self.certain = certain
        super().__init__(sentence, detail=detail, retry_after=retry_after)


class PriceExceeded(ProviderError):
    """The provider asks more than was reserved."""

    default = "The image service asks more for this than was reserved."
    may_fail_over: ClassVar[bool] = True


class ResultLost(ProviderError):
    """Generated, perhaps billed, and out of reach for ever. `cost` is None where it is not known."""

    default = "The image service painted this, and the pictures were lost on the way. Asking again may work."

    def __init__(self, sentence: str | None = None, *, detail: str = "", cost: Money | None = None) -> None:
        self.cost = cost
        super().__init__(sentence, detail=detail)


class SubmitUnknown(ProviderError):
    """The provider may have accepted the work, and may bill it: the response was lost."""

    default = "The image service did not confirm your request."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        detail: str = "",
        final: bool = False,
        garbled: bool = False,
        under_way: bool = False,
    ) -> None:
        """`final`: the provider cannot tell, now or ever. `garbled`: it did respond, and that cannot be read.

        `under_way`: the provider lists such work, and has not finished it.
        """
        self.final = final
        self.garbled = garbled
        self.under_way = under_way
        super().__init__(sentence, detail=detail)


class SubmitUnreadable(ProviderError):
    """The provider has probably accepted the work, its response does not say where, and it cannot be asked."""

    default = "The image service gave an answer that Easel cannot read. Asking again may work."
    may_fail_over: ClassVar[bool] = True


class TicketLost(ProviderError):
    """The provider no longer knows the job."""

    default = "The image service lost this request. Asking again may work."


class PromptRejected(ProviderError):
    """The provider's content policy."""

    default = "The image service will not paint this prompt. Try to say it differently."


class SourceRejected(ProviderError):
    """The provider cannot use a source picture."""

    default = "The image service could not use your picture. Try another one."


class RequestRejected(ProviderError):
    """The provider does not accept an option."""

    default = "The image service does not accept this combination of options."


class GenerationFailed(ProviderError):
    """The provider accepted the work and failed: polling it again changes nothing."""

    default = "The image service failed while painting. Asking again may work."


class InvalidResponse(ProviderError):
    """The response is no picture, or leads to a host that is not trusted."""

    default = "The image service sent something that is not a usable picture. Asking again may work."

    def __init__(self, sentence: str | None = None, *, detail: str = "", cost: Money | None = None) -> None:
        """`cost` is what the provider bills for it; None where that is not known."""
        self.cost = cost
        super().__init__(sentence, detail=detail)


class NoPicture(InvalidResponse):
    """The provider says that it has finished, and there is nothing."""

    default = "The image service finished without a picture. Asking again may work."


class ModelRetired(ProviderError):
    """The provider says that the model is gone for good; `kind` is the kind of request, where only that one is."""

    default = "The image service no longer offers this model."
    may_fail_over: ClassVar[bool] = True

    def __init__(self, sentence: str | None = None, *, detail: str = "", kind: str | None = None) -> None:
        self.kind = kind
        super().__init__(sentence, detail=detail)


class ProviderMisconfigured(ProviderError):
    """The provider refuses the key, or its balance is used up: nothing that a member can change."""

    default = "The image service is not available to this bot right now. Its operator has been told."
    may_fail_over: ClassVar[bool] = True


class JobCancelled(ProviderError):
    """Cancelled before its pictures were delivered."""

    default = "Cancelled."


class GenerationTimeout(ProviderError):
    """No result came within the job's patience."""

    default = "The image service took longer than an hour. Asking again may work."


class ResultUnreachable(ProviderError):
    """Generated, perhaps billed, and its pictures could not be fetched."""

    default = "The image service painted this, but Easel could not fetch it. Asking again may work."


class DeliveryError(EaselError):
    """The pictures could not be posted."""


class DiscordBusy(DeliveryError):
    """Discord did not take the message; posting it again is harmless."""

    default = "Discord did not take the picture."


class ChannelUnavailable(DeliveryError):
    """The channel is gone, or closed to the bot."""

    default = "Easel may not post in this channel."


class DeliveryTimeout(DeliveryError):
    """Discord took nothing within the job's patience."""

    default = "Discord did not take the picture for a day, so this request was given up."


class Interrupted(EaselError):
    """A request failed, and the process ended before its member was told."""

    default = "Your request failed while Easel was being restarted. Ask for it again."


class StorageError(EaselError):
    """The database is away; the process ends and its supervisor starts it again."""

    default = "The database does not answer."


class Bug(EaselError):
    """A mistake of ours. The member reads a code that the log holds as well."""

    def __init__(self, event_id: int) -> None:
        """`event_id` is the interaction's, the message's or the job's."""
        self.code = f"{event_id % 1_000_000:06d}"
        super().__init__(f"Something went wrong on our side (code {self.code}).")


class SetupError(Exception):
    """One line for the operator who starts the bot."""
