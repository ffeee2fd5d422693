"""Oxen's queue: the states of a row between its submit and its result (Oxen: async queue)."""

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from decimal import Decimal
from functools import partial
from typing import Any

import aiohttp
from PIL import Image, ImageOps

from bot.sandbox.kit.broken_answers import break_picture
from bot.sandbox.kit.faults import Fault, ModelStrike
from bot.sandbox.kit.inputs import InputError, InputPictures
from bot.sandbox.kit.pictures import ONE_PICTURE_PROMPT, PaintJob
from bot.sandbox.kit.records import duplicate_ids, redact
from bot.sandbox.kit.tasks import BackgroundTasks
from bot.sandbox.oxen.models import MODELS
from bot.sandbox.oxen.models.base import picture_format, problem
from bot.sandbox.oxen.options import OxenOptions
from bot.sandbox.oxen.records import Generation, User
from bot.sandbox.oxen.results import Results

NO_CREDIT = "Insufficient credits"
MODERATED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us and include "
    "the request ID. safety_violations=[violence]."
)
_ROWS_KEPT = 5_000
_ROWS_KEPT_WHOLE = 50
"""Finished rows whose parameters are kept with the data URIs of their inputs."""


class GenerationFailed(Exception):
    """The row fails with this text; `status` is the HTTP status of a synchronous call."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Queue:
    """Accepts submits, runs each row as a task, and remembers the latest few thousand.

    `on_finished` is called with each queued row that has succeeded or failed.
    """

    def __init__(
        self,
        options: OxenOptions,
        results: Results,
        inputs: InputPictures,
        executor: Executor,
        on_finished: Callable[[Generation], None],
        now: Callable[[], float],
        strike: ModelStrike,
    ) -> None:
        self.options = options
        self.generations: OrderedDict[str, Generation] = OrderedDict()
        self.batches = 0
        """How many submits were accepted."""
        self._results = results
        self._inputs = inputs
        self._executor = executor
        self._on_finished = on_finished
        self._now = now
        self._model_strike = strike
        self._whole: deque[Generation] = deque()
        self._tasks = BackgroundTasks()

    async def close(self) -> None:
        """Stop the rows that are not finished."""
        await self._tasks.close()

    def duplicates(self) -> list[list[str]]:
        """First ids of one user's submits with the same parameters, in groups; retries do not count."""
        first = [row for row in self.generations.values() if row.index == 0 and row.retried_from_id is None]
        return duplicate_ids(((row.user, row.digest), row.generation_id) for row in first)

    def accept(
        self, user: User, model: str, params: Mapping[str, Any], *, count: int = 1, via: str = "queue"
    ) -> list[Generation]:
        """Start the rows of a new submit."""
        digest = hashlib.sha256(json.dumps([model, params], sort_keys=True).encode()).hexdigest()
        self.batches += 1
        rows = [
            Generation(user, model, params, self.batches, index, digest, self._now(), via)
            for index in range(count)
        ]
        if fault := self._strike("fail_some", rows[0]):
            for row in rows[-(fault.count or 1) :]:
                row.doom = str(fault.body or "Internal Server Error")
        for row in rows:
            if self._strike("no_credit_row", row):
                row.doom = NO_CREDIT
            self._start(row)
        return rows

    def retry(self, old: Generation) -> Generation:
        """Cancel the row if it still runs, and start a copy (Oxen: kill and retry)."""
        self.cancel(old)
        self.batches += 1
        fresh = Generation(
            old.user,
            old.model,
            old.params,
            self.batches,
            0,
            old.digest,
            self._now(),
            old.via,
            retried_from_id=old.generation_id,
        )
        self._start(fresh)
        return fresh

    def cancel(self, generation: Generation) -> None:
        """Stop the row, unless it is done or cancel_ignored strikes; Oxen sends no event (Oxen: async queue)."""
        if generation.done:
            return
        if generation.status == "processing" and self._strike("cancel_ignored", generation):
            return
        if generation.task is not None:
            generation.task.cancel()
        self._finish(generation, "cancelled")

    def _start(self, generation: Generation) -> None:
        self.generations[generation.generation_id] = generation
        while len(self.generations) > _ROWS_KEPT and next(iter(self.generations.values())).done:
            self.generations.popitem(last=False)
        generation.task = self._tasks.start(self._process(generation))

    def _strike(self, name: str, generation: Generation) -> Fault | None:
        return self._model_strike(name, generation.model)

    # ------------------------------------------------------------------------------------------------- run

    async def _process(self, generation: Generation) -> None:
        try:
            if generation.via == "queue":
                await self._wait_in_queue(generation)
            generation.started_at = self._now()
            generation.set_status("processing")
            content = await self._run(generation)
            self._succeed(generation, content)
        except GenerationFailed as failure:
            generation.error_status = failure.status
            self._fail(generation, str(failure))
        except Exception:
            generation.error_status = 500
            self._fail(generation, "Internal Server Error")
            raise
        if generation.via == "queue":
            self._on_finished(generation)

    async def _wait_in_queue(self, generation: Generation) -> None:
        stuck = self._strike("stuck", generation)
        slow = self._strike("slow_queue", generation)
        if stuck and stuck.body == "queued":
            await asyncio.Event().wait()
        seconds = self.options.queue_seconds
        await asyncio.sleep(slow.seconds_or(seconds) if slow else seconds)
        if stuck:
            generation.started_at = self._now()
            generation.set_status("processing")
            await asyncio.Event().wait()

    async def _run(self, generation: Generation) -> bytes:
        slow = self._strike("slow_run", generation)
        seconds = self.options.run_seconds
        if slow:
            seconds = slow.seconds_or(seconds)
        begun = time.monotonic()
        await asyncio.sleep(seconds / 2)
        failure: GenerationFailed | None = None
        content = b""
        try:
            self._refuse(generation)
            content = await self._paint(generation)
        except GenerationFailed as error:
            failure = error
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        if failure is not None:
            raise failure
        return content

    def _refuse(self, generation: Generation) -> None:
        if generation.doom:
            raise GenerationFailed(generation.doom, 402 if generation.doom == NO_CREDIT else 500)
        if fault := self._strike("run_error", generation):
            raise GenerationFailed(str(fault.body or "Internal Server Error"), fault.status or 500)
        if (wrong := problem(MODELS[generation.model], generation.params, self.options)) is not None:
            raise GenerationFailed(wrong)
        if any(word.lower() in generation.params["prompt"].lower() for word in self.options.forbidden):
            raise GenerationFailed(MODERATED)

    async def _paint(self, generation: Generation) -> bytes:
        model = MODELS[generation.model]
        params = model.effective(generation.params, self.options)
        sources, mask = await self._sources(params, edits_white=model.edits_white)
        kind = picture_format(params)
        given_quality = generation.params.get("output_quality") if "output_quality" in params else None
        job = PaintJob(
            prompt=ONE_PICTURE_PROMPT if self.options.one_picture else params["prompt"],
            size=model.pixels(params, sources[0].width / sources[0].height if sources else 1.0),
            output_format=kind,
            transparent=params.get("background") == "transparent" and kind != "jpeg",
            compression=given_quality,
            pad_to=self.options.picture_bytes,
            source=sources[0] if sources else None,
            mask=mask,
            seed=0 if self.options.one_picture else params.get("seed", 0),
        )
        index = 0 if self.options.one_picture else generation.index
        picture = await asyncio.get_running_loop().run_in_executor(self._executor, job.paint, index)
        return break_picture(picture, kind, partial(self._model_strike, model=generation.model)).content

    async def _sources(
        self, params: Mapping[str, Any], *, edits_white: bool
    ) -> tuple[list[Image.Image], Image.Image | None]:
        given = params.get("input_image", [])
        urls = [given] if isinstance(given, str) else list(given)
        mask_url = params.get("mask_url") if urls else None
        sources = [await self._load(url) for url in urls]
        if not mask_url:
            return sources, None
        given_mask = ImageOps.fit(await self._load(mask_url), sources[0].size)
        # The painter keeps where the mask is opaque.
        if edits_white:
            opaque = ImageOps.invert(given_mask.convert("L"))
        else:
            opaque = given_mask.convert("RGBA").getchannel("A")
        mask = Image.new("RGBA", sources[0].size)
        mask.putalpha(opaque)
        return sources, mask

    async def _load(self, url: str) -> Image.Image:
        try:
            return await self._inputs.load(url)
        except InputError as error:
            raise GenerationFailed(_download_error(error, url)) from error

    # ------------------------------------------------------------------------------------------------- end

    def _charge(self, generation: Generation) -> None:
        """Subtract the price from the credits; GenerationFailed when they do not suffice."""
        price = MODELS[generation.model].cost(generation.params, self.options)
        if self.options.credits is not None:
            left = Decimal(str(self.options.credits)) - price
            if left < 0:
                raise GenerationFailed(NO_CREDIT, 402)
            self.options.credits = float(left)
        generation.cost = price

    def _succeed(self, generation: Generation, content: bytes) -> None:
        self._charge(generation)
        generation.result_url = self._results.publish(generation, content)
        if fault := self._strike("foreign_picture", generation):
            generation.result_url = fault.url
        elif self._strike("result_missing", generation):
            generation.result_url = None
        self._finish(generation, "succeeded")

    def _fail(self, generation: Generation, text: str) -> None:
        generation.error_message = text
        if self._strike("charged_anyway", generation):
            with contextlib.suppress(GenerationFailed):
                self._charge(generation)
        self._finish(generation, "failed")

    def _finish(self, generation: Generation, status: str) -> None:
        generation.completed_at = self._now()
        generation.set_status(status)
        self._whole.append(generation)
        if len(self._whole) > _ROWS_KEPT_WHOLE:
            oldest = self._whole.popleft()
            oldest.params = redact(dict(oldest.params))

    def picture(self, generation: Generation) -> str:
        """A succeeded row's picture in base64."""
        return base64.b64encode(self._results.content(generation)).decode()


def _download_error(error: InputError, url: str) -> str:
    """Oxen's text for an unusable input, in the words of Python's requests (Oxen: image editing)."""
    shown, cause = redact(url), error.__cause__
    if isinstance(cause, aiohttp.ClientResponseError):
        side = "Client" if cause.status < 500 else "Server"
        return f"Failed to download image: {cause.status} {side} Error: {cause.message} for url: {shown}"
    return f"Failed to download image: {error.message} url: {shown}"
