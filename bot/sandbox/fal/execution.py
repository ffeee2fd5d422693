"""What a request does while it is IN_PROGRESS: check the input, paint, publish."""

import asyncio
import base64
import io
import time
import uuid
from concurrent.futures import Executor
from typing import Any

from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal.context import FalContext
from bot.sandbox.fal.files import FileStore, StoredFile
from bot.sandbox.fal.pictures import Inputs, PaintJob, Picture
from bot.sandbox.fal.prices import price, usage
from bot.sandbox.fal.records import QueueRequest
from bot.sandbox.fal.schema import ENDPOINTS, ImageInput, problem, problems
from bot.sandbox.fal.wire import FalError, model_failure, platform_failure
from bot.sandbox.kit.broken_answers import bomb
from bot.sandbox.kit.faults import Fault


class RequestRunner:
    """Carries out one request at a time for each caller; the painting itself is in the executor's threads."""

    def __init__(self, desk: FalContext, files: FileStore, inputs: Inputs, executor: Executor) -> None:
        self._desk = desk
        self._files = files
        self._inputs = inputs
        self._executor = executor

    async def run(self, request: QueueRequest) -> dict[str, Any]:
        """The result; Failure when there is none."""
        request.start(self._desk.now())
        slow = self._strike("slow_run", request)
        seconds = slow.seconds if slow and slow.seconds is not None else self._desk.options.run_seconds
        begun = time.monotonic()
        await asyncio.sleep(seconds / 2)
        if found := problems(request.endpoint, request.body):
            raise model_failure(422, found)
        order = ENDPOINTS[request.endpoint].model_validate(request.body)
        request.log(f"Painting {order.num_images} of {order.num_images}")
        result: dict[str, Any] | FalError
        try:
            result = await self._paint(request, order)
        except FalError as failure:
            result = failure
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - begun)))
        if isinstance(result, FalError):
            raise result
        request.log("Done")
        return result

    def _strike(self, name: str, request: QueueRequest) -> Fault | None:
        return self._desk.strike(name, request.endpoint)

    async def _paint(self, request: QueueRequest, order: ImageInput) -> dict[str, Any]:
        self._refuse(request, order)
        sources, mask = await self._inputs.of(order)
        count = order.num_images
        if fault := self._strike("fewer_pictures", request):
            count = max(1, count - (fault.count or 1))
        job = PaintJob.of(order, self._desk.options, sources, mask)
        loop = asyncio.get_running_loop()
        pictures = await asyncio.gather(
            *(loop.run_in_executor(self._executor, job.picture, index) for index in range(count))
        )
        spoilt = [self._spoil(request, order, picture) for picture in pictures[:1]]
        in_dollars = self._desk.options.dollar_units
        request.units = price(request.endpoint, order, job.size, count) if in_dollars else count
        result: dict[str, Any] = {"images": self._published(request, order, [*spoilt, *pictures[1:]])}
        if request.endpoint.endswith("/byok"):
            result["usage"] = usage(order, job.size, count)
        return result

    def _refuse(self, request: QueueRequest, order: ImageInput) -> None:
        if fault := self._strike("run_error", request):
            text = str(fault.body or "Internal Server Error")
            raise platform_failure(fault.status or 500, text, fault.error_type or "internal_error")
        if fault := self._strike("run_gone", request):
            raise gone(request.endpoint, fault)
        if fault := self._strike("model_error", request):
            kind, text = fault.error_type or "no_media_generated", str(fault.body or "No media was generated")
            raise model_failure(fault.status or 422, [problem(["prompt"], text, kind, input=order.prompt)])
        if any(word.lower() in order.prompt.lower() for word in self._desk.options.forbidden):
            text = "The content could not be processed because it was flagged by a content checker."
            kind = "content_policy_violation"
            raise model_failure(422, [problem(["prompt"], text, kind, input=order.prompt)])
        if getattr(order, "background", "auto") == "transparent" and order.output_format == "jpeg":
            text = "Value error, a transparent background needs png or webp"
            raise model_failure(422, [problem(["output_format"], text, "value_error", input="jpeg")])

    def _spoil(self, request: QueueRequest, order: ImageInput, picture: Picture) -> Picture:
        if self._strike("not_a_picture", request):
            return Picture(b"<html>The picture could not be found</html>", picture.width, picture.height)
        if self._strike("wrong_type", request):
            kind = "png" if order.output_format == "jpeg" else "jpeg"
            image = Image.open(io.BytesIO(picture.content))
            return Picture(painter.encode(image, kind), picture.width, picture.height)
        if fault := self._strike("bomb", request):
            side = fault.count or 30_000
            return Picture(bomb(side), side, side)
        return picture

    def _published(
        self, request: QueueRequest, order: ImageInput, pictures: list[Picture]
    ) -> list[dict[str, Any]]:
        """The result's `images`: each a link, a data URI, or a dead link beside the bytes."""
        foreign = self._strike("foreign_picture", request)
        inline = self._strike("file_data", request) is not None
        return [self._publish(order, picture, foreign.url if foreign else None, inline) for picture in pictures]

    def _publish(self, order: ImageInput, picture: Picture, foreign: str | None, inline: bool) -> dict[str, Any]:
        kind = f"image/{order.output_format}"
        name = f"{uuid.uuid4().hex[:20]}.{order.output_format}"
        encoded = base64.b64encode(picture.content).decode() if order.sync_mode or inline else ""
        if order.sync_mode:
            url = f"data:{kind};base64,{encoded}"
        elif foreign:
            url = foreign
        else:
            path = self._files.new_path(name)
            if not inline:
                self._files.put(path, StoredFile(picture.content, kind, name))
            url = self._desk.hosts().cdn + path
        image: dict[str, Any] = {
            "url": url,
            "content_type": kind,
            "file_name": name,
            "file_size": len(picture.content),
            "width": picture.width,
            "height": picture.height,
        }
        return {**image, "file_data": encoded} if inline else image


def gone(endpoint: str, fault: Fault) -> FalError:
    """How a request ends whose model is no longer there."""
    text = str(fault.body or f"Application '{endpoint}' is deprecated and no longer available")
    return platform_failure(fault.status or 404, text, fault.error_type or "deprecated")
