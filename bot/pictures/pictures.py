"""Pictures as the bot uses them: every method hands the work to a picture process and waits for it."""

from __future__ import annotations

from dataclasses import replace

from bot.domain.checks import check_mask_size
from bot.domain.content import Content
from bot.domain.errors import BadSource, InvalidResponse
from bot.domain.pictures import Picture
from bot.domain.requests import OutputFormat
from bot.pictures import wire
from bot.pictures.budget import Budget
from bot.pictures.errors import ProcessEnded, TooHeavy, TookTooLong
from bot.pictures.files import KINDS, TYPES, shown, unreadable
from bot.pictures.processes import Processes

PROCESSES = 2
LOOKING_SECONDS = 10.0
"""How long it may take to look at a picture. Decoding 50 megapixels takes one second."""
WORKING_SECONDS = 45.0
"""How long it may take to make another file of one. The slowest, an AVIF of 8 megapixels, takes 2 to 5 seconds."""
HEAVY_BYTES = 270_000_000
"""Memory of work that is done one at a time: a GIF of 50 megapixels, a WebP of 4096 × 4096."""


class Pictures:
    """Pillow, in processes of its own. Close it last."""

    def __init__(
        self,
        processes: Processes | None = None,
        *,
        looking: float = LOOKING_SECONDS,
        working: float = WORKING_SECONDS,
    ) -> None:
        """`processes` that are given are shared, and not closed here; times are in seconds."""
        self._shared = processes is not None
        self._processes = processes or Processes(PROCESSES)
        self._looking = looking
        self._working = working
        most = self._processes.count
        self._turns = Budget(most, max(1, most // 2))
        # Work that takes seconds or much memory never occupies every process: each result is inspected here too.
        self._heavy = Budget(1)

    def close(self) -> None:
        """End what is running, start nothing more."""
        if not self._shared:
            self._processes.close()

    async def inspect(self, content: Content, *, filename: str, result: bool = False) -> Picture:
        """Find out what a file really is, whatever it is called. A `result` has been decoded then.

        The bytes stay as they are, except that the first frame of a GIF or an AVIF becomes a PNG unless it is a
        `result`: only while `picture.stored is content` does a link to the original show the same picture.

        Raises:
            BadSource: no PNG, JPEG, WebP, GIF or AVIF, cut short, or it takes too long or too much memory.
        """
        unknown = Picture(stored=content, content_type="", filename=filename, width=0, height=0)
        try:
            found = await self._do("inspect", unknown, self._looking, result=result)
        except TooHeavy:
            raise BadSource(f"{shown(filename)} has too many megapixels. Send a smaller one.") from None
        except ProcessEnded:
            raise unreadable(filename) from None
        if found is None:
            raise unreadable(filename)
        return found

    async def convert(self, picture: Picture, kind: OutputFormat, quality: int | None) -> Picture:
        """The picture in another format; `quality` is 0 to 100 for those that lose detail.

        Itself if it is in that format, or too large to be converted.

        Raises:
            InvalidResponse: it cannot be decoded.
        """
        if TYPES[KINDS[kind]] == picture.content_type and quality is None:
            return picture
        try:
            made = await self._do_slowly("convert", picture, kind=KINDS[kind], quality=quality)
        except (TooHeavy, ProcessEnded):
            return picture
        return made or picture

    async def preview(self, content: Content) -> Picture | None:
        """A small version of an unfinished picture; None where the bytes are no picture."""
        unknown = Picture(stored=content, content_type="", filename="preview", width=0, height=0)
        try:
            return await self._do("preview", unknown, self._looking)
        except (TooHeavy, ProcessEnded):
            return None

    async def check_mask(self, mask: Picture, picture: Picture, *, white: bool = False) -> Picture:
        """Check that a mask fits its picture; returns it as a PNG, transparent (or `white`) where to paint.

        A mask may say where to paint in two ways: transparent, or white on black. The second has no
        transparency, and its white (lighter than middle grey) becomes transparent. The mask comes back
        unchanged (`is mask`) if it was right already.

        Raises:
            BadSource: another size than the picture's, or it marks nothing.
        """
        check_mask_size((mask.width, mask.height), (picture.width, picture.height))
        try:
            made = await self._do_slowly("mask", mask, white=white)
        except (TooHeavy, ProcessEnded):
            made = None
        if made is None:
            raise unreadable(mask.filename)
        return made

    async def fit(self, picture: Picture, least_side: int, most_area: int) -> Picture:
        """The same picture with at least `least_side` pixels to a side, and at most `most_area` in all.

        Raises:
            BadSource: it is too long and narrow, or has too many pixels to be scaled here.
        """
        if min(picture.width, picture.height) >= least_side and picture.width * picture.height <= most_area:
            return picture
        try:
            made = await self._do_slowly("fit", picture, least_side=least_side, most_area=most_area)
        except (TooHeavy, ProcessEnded):
            made = None
        if made is None:
            raise BadSource(
                f"{shown(picture.filename)} has too many megapixels for this model. Send a smaller one."
            )
        return made

    async def shrink(self, picture: Picture, limit: int) -> Picture | None:
        """The same picture in at most `limit` bytes: first at a lower quality, then smaller.

        What is transparent becomes a WebP and stays transparent, the rest a JPEG. None if it cannot be done
        with at least 64 pixels to the longer side.
        """
        if picture.size <= limit:
            return picture
        try:
            return await self._do_slowly("shrink", picture, limit=limit)
        except (TooHeavy, ProcessEnded):
            return None

    async def _do_slowly(self, task: str, picture: Picture, **options: object) -> Picture | None:
        async with self._heavy.room(1):
            return await self._attempt(task, picture, self._working, HEAVY_BYTES, options)

    async def _do(self, task: str, picture: Picture, seconds: float, **options: object) -> Picture | None:
        """Do it beside other work where it is light, else alone."""
        try:
            return await self._attempt(task, picture, seconds, wire.LIGHT_BYTES, options)
        except TooHeavy:
            async with self._heavy.room(1):
                return await self._attempt(task, picture, seconds, HEAVY_BYTES, options)

    async def _attempt(
        self, task: str, picture: Picture, seconds: float, allowed: int, options: dict[str, object]
    ) -> Picture | None:
        """One task in one process, and in another one if that process ends by itself.

        Raises:
            BadSource, InvalidResponse: what the task found.
            TooHeavy: it takes more than `allowed` bytes.
            ProcessEnded: it took more than `seconds`, or a process ended twice.
        """
        head = {"task": task, "picture": wire.facts(picture), "options": {"allowed": allowed, **options}}
        async with self._turns.room(1):
            try:
                answer, content = await self._processes.run(head, picture.stored, seconds)
            except TookTooLong:
                raise
            except ProcessEnded:
                answer, content = await self._processes.run(head, picture.stored, seconds)
        if "bad_source" in answer:
            raise BadSource(answer["bad_source"])
        if "invalid" in answer:
            raise InvalidResponse(detail=answer["invalid"])
        if "too_heavy" in answer:
            raise TooHeavy
        if answer["picture"] is None:
            return None
        if answer["same"]:
            made = replace(picture, **answer["picture"])
            return picture if made == picture else made
        return Picture(stored=content, **answer["picture"])
