"""What happens to a request while it is IN_PROGRESS: check the input, paint, publish."""

import asyncio
import base64
import time
import uuid
from concurrent.futures import Executor
from functools import partial
from typing import Any

from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.models import ENDPOINTS
from bot.sandbox.fal.models.base import ImageInput, Work
from bot.sandbox.fal.pictures import load_inputs, paint_job
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.wire import FalError, model_error, platform_error, problem
from bot.sandbox.kit.broken_answers import break_picture
from bot.sandbox.kit.faults import Fault
from bot.sandbox.kit.files import FileStore, StoredFile
from bot.sandbox.kit.inputs import InputPictures
from bot.sandbox.kit.pictures import Picture


class RequestRunner:
    """Runs one request to its result; the painting itself is done by the executor's threads."""

    def __init__(self, context: FalContext, files: FileStore, inputs: InputPictures, executor: Executor) -> None:
        self._context = context
        self._files = files
        self._inputs = inputs
        self._executor = executor

    async def run(self, request: QueueRequest) -> dict[str, Any]:
        """The result; FalError when the request fails."""
        request.start(self._context.now())
        slow = self._strike("slow_run", request)
        seconds = self._context.options.run_seconds
        if slow:
            seconds = slow.seconds_or(seconds)
        begun = time.monotonic()
        await asyncio.sleep(seconds / 2)
        params = self._context.parse(request.endpoint, request.body)
        request.log(f"Painting {params.count} of {params.count}")
        result: dict[str, Any] | FalError
        try:
            result = await self._paint(request, params)
        except FalError as error:
            result = error
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        if isinstance(result, FalError):
            raise result
        request.log("Done")
        return result

    def _strike(self, name: str, request: QueueRequest) -> Fault | None:
        return self._context.strike(name, request.endpoint)

    async def _paint(self, request: QueueRequest, params: ImageInput) -> dict[str, Any]:
        self._refuse(request, params)
        sources, mask = await load_inputs(self._inputs, params)
        count = params.count
        if fault := self._strike("fewer_pictures", request):
            count = max(1, count - (fault.count or 1))
        job = paint_job(params, self._context.options, sources, mask)
        loop = asyncio.get_running_loop()
        pictures = await asyncio.gather(
            *(loop.run_in_executor(self._executor, job.paint, index) for index in range(count))
        )
        strike = partial(self._context.strike, model=request.endpoint)
        pictures[0] = break_picture(pictures[0], params.picture_format, strike)
        work = Work(size=job.size, count=count, sources=[source.size for source in sources])
        self._bill(request, params, work)
        return {"images": self._publish_all(request, params, pictures), **params.output(work)}

    def _bill(self, request: QueueRequest, params: ImageInput, work: Work) -> None:
        options, usual = self._context.options, params.cost(work)
        factor = options.price_factors.get(request.endpoint, 1.0)
        request.cost = round(usual * factor, 8)
        endpoint = ENDPOINTS[request.endpoint]
        if options.dollar_units or endpoint.unit == "units":
            request.units = request.cost
        else:  # a unit has become dearer by the same factor
            request.units = endpoint.units(usual, work.count)

    def _refuse(self, request: QueueRequest, params: ImageInput) -> None:
        """FalError when a fault, a forbidden word or a contradiction in the parameters ends the run."""
        if fault := self._strike("run_error", request):
            text = str(fault.body or "Internal Server Error")
            raise platform_error(fault.status or 500, text, fault.error_type or "internal_error")
        if fault := self._strike("run_gone", request):
            raise model_gone(request.endpoint, fault)
        if fault := self._strike("model_error", request):
            kind, text = fault.error_type or "no_media_generated", str(fault.body or "No media was generated")
            raise model_error(fault.status or 422, [problem(["prompt"], text, kind, input=params.prompt)])
        if any(word.lower() in params.prompt.lower() for word in self._context.options.forbidden):
            text = "The content could not be processed because it was flagged by a content checker."
            kind = "content_policy_violation"
            raise model_error(422, [problem(["prompt"], text, kind, input=params.prompt)])
        if getattr(params, "background", "auto") == "transparent" and params.picture_format == "jpeg":
            text = "Value error, a transparent background needs png or webp"
            raise model_error(422, [problem(["output_format"], text, "value_error", input="jpeg")])

    def _publish_all(
        self, request: QueueRequest, params: ImageInput, pictures: list[Picture]
    ) -> list[dict[str, Any]]:
        """The result's `images`: each a link, a data URI, or a dead link beside the bytes."""
        foreign = self._strike("foreign_picture", request)
        inline = self._strike("file_data", request) is not None
        return [self._publish(params, picture, foreign.url if foreign else None, inline) for picture in pictures]

    def _publish(self, params: ImageInput, picture: Picture, foreign: str | None, inline: bool) -> dict[str, Any]:
        content_type = f"image/{params.picture_format}"
        name = f"{uuid.uuid4().hex[:20]}.{params.picture_format}"
        encoded = base64.b64encode(picture.content).decode() if params.sync_mode or inline else ""
        if params.sync_mode:
            url = f"data:{content_type};base64,{encoded}"
        elif foreign:
            url = foreign
        else:
            path = self._files.new_path(name)
            if not inline:
                self._files.put(path, StoredFile(picture.content, content_type, name))
            url = self._context.hosts().cdn + path
        image: dict[str, Any] = {
            "url": url,
            "content_type": content_type,
            "file_name": name,
            "file_size": len(picture.content),
            "width": picture.width,
            "height": picture.height,
        }
        return {**image, "file_data": encoded} if inline else image


def model_gone(endpoint: str, fault: Fault) -> FalError:
    """The error of a request whose model has been withdrawn."""
    text = str(fault.body or f"Application '{endpoint}' is deprecated and no longer available")
    return platform_error(fault.status or 404, text, fault.error_type or "deprecated")
