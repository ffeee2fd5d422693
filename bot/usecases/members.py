"""What members can do: submit a request, cancel it, look at their allowance and their jobs."""

from __future__ import annotations

import logging

from bot.catalog.catalog import Catalog
from bot.domain.choices import ModelChoice
from bot.domain.clock import Clock
from bot.domain.errors import BadSource, NotAllowed, NotFound, StorageError
from bot.domain.forms import Form
from bot.domain.jobs import AcceptedJob, Job, JobState
from bot.domain.limits import Allowance
from bot.domain.requests import ImageRequest, ReplyAddress, Requester
from bot.ports import Database, Delivery
from bot.routing.router import Router
from bot.storage import forms, jobs, reservations, retries
from bot.storage import provider_orders as stored
from bot.usecases.choosing import model_choices
from bot.usecases.retrying import UPLOAD_AGAIN, check_retry, price_risen, retried_before, retried_request
from bot.usecases.submitting import Asked, Defaults, Submitter
from bot.usecases.uploads import Uploads

log = logging.getLogger(__name__)

SUBMITTED_BEFORE = "This form was submitted before. Open it again for another edit."
RECENT = 10


class MemberService:
    """The members' use cases. Raises only `EaselError`s."""

    def __init__(
        self,
        *,
        database: Database,
        delivery: Delivery,
        catalog: Catalog,
        router: Router,
        clock: Clock,
        defaults: Defaults,
    ) -> None:
        self._database = database
        self._delivery = delivery
        self._catalog = catalog
        self._router = router
        self._clock = clock
        self._defaults = defaults
        self._submitter = Submitter(
            database=database, catalog=catalog, router=router, clock=clock, defaults=defaults
        )
        self._uploads = Uploads(database=database, delivery=delivery, clock=clock)

    async def model_choices(self, guild_id: int, request: ImageRequest, typed: str = "") -> list[ModelChoice]:
        """The models that can do a half-typed request in a server, whose label or name contains `typed`."""
        # A read takes a tenth of a millisecond, and a model that was just switched off is not offered.
        return model_choices(self._router, await self._database.read(stored.orders(guild_id)), request, typed)

    async def submit(
        self,
        job_id: int,
        requester: Requester,
        request: ImageRequest,
        reply: ReplyAddress,
        parent_id: int | None = None,
    ) -> AcceptedJob:
        """Check the request, reserve what it may cost and write the job down, all or nothing.

        It is checked with the server's orders of providers as they were last read, which spares a read. Nothing is
        accepted or refused by them where others hold by now.

        An edit takes over the options of the job `parent_id`, which made its picture. One of a picture that was
        hidden is hidden.

        Raises:
            Refused: by one of its classes; nothing was written.
        """
        asked = Asked(job_id=job_id, requester=requester, request=request, reply=reply, parent_id=parent_id)
        return await self._submitter.submit(asked)

    async def retry(self, job_id: int, failed_id: int, requester: Requester, reply: ReplyAddress) -> AcceptedJob:
        """Submit a failed job's request again, with the model that its member was offered; once for each.

        Where it costs more by now than they were told, they are told the new price, and may press again.

        Raises:
            Refused: by one of its classes; nothing was written.
        """
        failed = await self.job(failed_id)
        check_retry(failed, requester)
        offer = await self._database.read(retries.get(failed_id, self._clock.now()))
        if offer is None:
            raise NotFound("This was too long ago. Type /imagine or /edit to ask again.")
        asked = Asked(
            job_id=job_id,
            requester=requester,
            request=retried_request(failed, offer.model),
            reply=reply,
            parent_id=failed.parent_id,
            offer=offer,
        )
        try:
            return await self._submitter.submit(asked)
        except retries.RetriedBefore as before:
            other = await self.job(before.job_id)
            label = self._catalog.model(other.request.model).label
            raise retried_before(label, ended=other.state.ended) from None
        except retries.Dearer as dearer:
            await self._database.write(retries.reprice(offer, dearer.price, self._clock.now()))
            raise price_risen(dearer.price) from None
        except retries.UploadsGone:
            raise BadSource(UPLOAD_AGAIN) from None

    async def after_accept(self, job: Job, card_id: int | None, *, uploads_stored: bool = False) -> None:
        """After the first response: store the card's id, and uploads that cannot be fetched again.

        The job is accepted and runs without either, so a failure here is only logged.
        """
        try:
            if card_id is not None:
                await self._remember_card(job.id, card_id)
            if not uploads_stored:
                await self._uploads.store(job)
        except StorageError as error:
            log.error("job %d: %s", job.id, error.sentence)

    async def _remember_card(self, job_id: int, card_id: int) -> None:
        """Store the id of the progress card; where the job has ended before, the card is removed."""
        job = await self._database.write(jobs.remember_card(job_id, card_id))
        if job.state.ended:
            await self._remove_card(job)

    async def _remove_card(self, job: Job) -> None:
        if await self._delivery.remove_card(job):
            await self._database.write(jobs.tidied([job.id]))

    async def allowance(self, requester: Requester) -> Allowance:
        """What a member may still spend."""
        return await self._database.read(
            reservations.allowance(requester, self._defaults.limit, self._clock.now())
        )

    async def history(self, requester: Requester) -> list[Job]:
        """A member's running jobs and the newest ended ones."""
        return await self._database.read(jobs.of_member(requester.guild_id, requester.user_id, RECENT))

    async def job(self, job_id: int) -> Job:
        """One job, by its id."""
        return await self._database.read(jobs.get(job_id))

    async def open_form(self, form: Form, oldest: int) -> None:
        """Write a form down before it is shown; forms with an id below `oldest` are forgotten."""
        await self._database.write(forms.keep(form, oldest))

    async def opened_form(self, form_id: int, user_id: int, guild_id: int) -> Form:
        """A form that this member has opened.

        Raises:
            BadSource: it is another member's, too old, was submitted before, or was never opened.
        """
        form = await self._database.read(forms.get(form_id))
        if form is None or form.guild_id != guild_id:
            raise BadSource("Easel no longer knows this form. Open it again.")
        if form.user_id != user_id:
            raise BadSource("Somebody else opened this form. Press Edit to open your own.")
        if not form.pictures:
            raise BadSource(SUBMITTED_BEFORE)
        return form

    async def close_form(self, form: Form) -> None:
        """Forget the pictures of a form that became a job."""
        await self._database.write(forms.close(form))

    async def result(self, message_id: int) -> Job | None:
        """The job whose pictures a message holds."""
        return await self._database.read(jobs.by_result(message_id))

    async def cancel(self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool) -> Job:
        """Cancel a job; returns it as it stands: cancelled, or asked to be, or too late.

        Raises:
            NotAllowed: it is another member's.
            NotFound: there is no such job in this server.
        """
        await self._job_of(job_id, user_id, guild_id, moderator=moderator, what="request", verb="cancel")
        job = await self._database.write(jobs.cancel(job_id, self._clock.now()))
        self._database.wake()
        if job.state is JobState.CANCELLED:
            await self._remove_card(job)
        return job

    async def deletable(self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool) -> Job:
        """The job behind a Delete button, if this person may delete its pictures.

        Raises:
            NotAllowed: neither the member who asked for them nor a moderator.
            NotFound: the pictures belong to another server.
        """
        return await self._job_of(job_id, user_id, guild_id, moderator=moderator, what="picture", verb="delete")

    async def _job_of(
        self, job_id: int, user_id: int, guild_id: int | None, *, moderator: bool, what: str, verb: str
    ) -> Job:
        job = await self.job(job_id)
        if guild_id != job.requester.guild_id:
            raise NotFound(f"Easel does not know this {what}.")
        if job.requester.user_id != user_id and not moderator:
            raise NotAllowed(f"Only the one who asked for this {what}, or a moderator, can {verb} it.")
        return job
