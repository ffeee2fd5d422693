"""Input pictures that a request names by URL: data URIs, the stand-in's own files, and http(s) links."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import aiohttp
from PIL import Image

from bot.sandbox.kit.files import StoredFile
from bot.sandbox.kit.pictures import decode

INPUT_LIMIT = 50 * 1024 * 1024
"""The most bytes that an input picture may have."""


class InputError(Exception):
    """The input picture is unusable; `kind` is fal's word for the reason (fal: errors)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """file_download_error, file_too_large or image_load_error."""
        self.message = message


class InputPictures:
    """Fetches and decodes them. `url_map` redirects URLs by their beginning, for hosts that do not exist."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        executor: Executor,
        url_map: Callable[[], Mapping[str, str]],
        own_file: Callable[[str], StoredFile | None] = lambda _: None,
    ) -> None:
        self._session = session
        self._executor = executor
        self._url_map = url_map
        self._own_file = own_file

    async def load(self, url: str) -> Image.Image:
        """The decoded picture. InputError; its cause is the error of the download or of the decoder."""
        try:
            content = await self._fetch(url)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            text = "Failed to download the file. Please check if the URL is accessible and try again."
            raise InputError("file_download_error", text) from error
        if len(content) > INPUT_LIMIT:
            raise InputError("file_too_large", "File size exceeds the limit")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, decode, content)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            text = "Failed to load the image. Please ensure the image file is not corrupted."
            raise InputError("image_load_error", text) from error

    async def _fetch(self, url: str) -> bytes:
        if url.startswith("data:"):
            return _data_uri(url)
        if (file := self._own_file(url)) is not None:
            return file.content
        for beginning, instead in self._url_map().items():
            if url.startswith(beginning):
                url = instead + url.removeprefix(beginning)
                break
        if not url.startswith(("http://", "https://")):
            raise ValueError("not a URL")
        async with self._session.get(url) as response:
            response.raise_for_status()
            content = bytearray()
            async for block in response.content.iter_chunked(65_536):
                content += block
                if len(content) > INPUT_LIMIT:
                    break
            return bytes(content)


def _data_uri(url: str) -> bytes:
    head, _, data = url.partition(",")
    if not head.endswith(";base64"):
        raise ValueError("not base64")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
