"""Pictures for fal's queue: fetching those that come in, painting those that go out."""

import asyncio
import base64
import binascii
import io
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import aiohttp
from PIL import Image

from bot.sandbox import painter
from bot.sandbox.fal.files import StoredFile
from bot.sandbox.fal.options import FalOptions
from bot.sandbox.fal.schema import ImageInput, mask_of, problem, shortened, size_of
from bot.sandbox.fal.wire import model_failure

_INPUT_LIMIT = 50 * 1024 * 1024


class Inputs:
    """Fetches sources and masks: the CDN's own files, data URIs, and http(s) URLs (fal: file inputs)."""

    def __init__(
        self,
        options: FalOptions,
        session: aiohttp.ClientSession,
        executor: Executor,
        own_file: Callable[[str], StoredFile | None],
    ) -> None:
        self._options = options
        self._session = session
        self._executor = executor
        self._own_file = own_file

    async def of(self, order: ImageInput) -> tuple[list[Image.Image], Image.Image | None]:
        """The sources and the mask of an order; Failure 422 that names the input which is no good."""
        urls: list[str] = getattr(order, "image_urls", [])
        sources = [await self._image(url, ["image_urls", place]) for place, url in enumerate(urls)]
        field, mask_url = mask_of(order)
        if mask_url is None:
            return sources, None
        mask = await self._image(mask_url, [field])
        wrong = ""
        if mask.size != sources[0].size:
            wrong = "Value error, the mask must have the size of the first image"
        elif "A" not in mask.getbands() and "transparency" not in mask.info:
            wrong = "Value error, the mask must have an alpha channel"
        if wrong:
            entry = problem([field], wrong, "value_error", input=shortened(mask_url))
            raise model_failure(422, [entry])
        return sources, mask

    async def _image(self, url: str, loc: list[str | int]) -> Image.Image:
        shown = shortened(url)
        try:
            content = await self._fetch(url)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            text = "Failed to download the file. Please check if the URL is accessible and try again."
            raise model_failure(422, [problem(loc, text, "file_download_error", input=shown)]) from error
        if len(content) > _INPUT_LIMIT:
            more = {"ctx": {"max_size": _INPUT_LIMIT}, "input": shown}
            raise model_failure(422, [problem(loc, "File size exceeds the limit", "file_too_large", **more)])
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, _opened, content)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            text = "Failed to load the image. Please ensure the image file is not corrupted."
            raise model_failure(422, [problem(loc, text, "image_load_error", input=shown)]) from error

    async def _fetch(self, url: str) -> bytes:
        if url.startswith("data:"):
            head, _, data = url.partition(",")
            if not head.endswith(";base64"):
                raise ValueError("not base64")
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise ValueError("not base64") from error
        if (file := self._own_file(url)) is not None:
            return file.content
        for beginning, instead in self._options.url_map.items():
            if url.startswith(beginning):
                url = instead + url.removeprefix(beginning)
                break
        if not url.startswith(("http://", "https://")):
            raise ValueError("not a URL")
        async with self._session.get(url) as answer:
            answer.raise_for_status()
            content = bytearray()
            async for block in answer.content.iter_chunked(65_536):
                content += block
                if len(content) > _INPUT_LIMIT:
                    break
            return bytes(content)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that goes out; sizes in pixels."""

    content: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaintJob:
    """What a painting thread needs, and nothing of the loop."""

    prompt: str
    size: tuple[int, int]
    kind: str
    transparent: bool
    pad_to: int | None
    source: Image.Image | None
    mask: Image.Image | None

    @classmethod
    def of(
        cls, order: ImageInput, options: FalOptions, sources: list[Image.Image], mask: Image.Image | None
    ) -> "PaintJob":
        """The work that an order asks for; size "auto" is the known shape nearest to the first source."""
        size = size_of(order)
        if size is None:
            shape = sources[0].width / sources[0].height if sources else 1.0
            size = min(painter.SIZES, key=lambda known: abs(known[0] / known[1] - shape))
        return cls(
            prompt="a lighthouse at sunset" if options.one_picture else order.prompt,
            size=size,
            kind=order.output_format,
            transparent=getattr(order, "background", "auto") == "transparent",
            pad_to=None if order.output_format == "webp" else options.picture_bytes,
            source=sources[0] if sources else None,
            mask=mask,
        )

    def picture(self, index: int) -> Picture:
        """Paint the picture with this number; slow, for a thread."""
        if self.source is not None:
            image = painter.edit(self.source, self.prompt, self.size, self.mask, index=index)
            content = painter.encode(image, self.kind, pad_to=self.pad_to)
        else:
            more = {"transparent": self.transparent, "pad_to": self.pad_to}
            content = painter.painted(self.prompt, self.size, self.kind, index=index, **more)
        return Picture(content, *self.size)


def _opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
