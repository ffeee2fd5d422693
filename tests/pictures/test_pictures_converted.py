"""Conversions of a painted picture: another format, a smaller file, a preview of an unfinished one."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from bot.domain.content import IN_MEMORY, DiskFile, Receiver
from bot.domain.errors import BadSource, InvalidResponse
from bot.domain.pictures import Picture
from bot.domain.requests import OutputFormat
from bot.pictures.files import KINDS, SUFFIXES
from bot.pictures.pictures import Pictures
from tests.support.picture_files import encoded, noise, png, png_declaring, webp_declaring
from tests.support.picture_processes import open_pictures

FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)


def painting(mode: str = "RGB") -> Image.Image:
    """Soft shapes, as a painted picture has them, clear in its left half where the mode allows."""
    image = noise((120, 80)).filter(ImageFilter.GaussianBlur(3)).convert(mode)
    ImageDraw.Draw(image).rectangle((60, 0, 120, 80), fill="red")
    if mode == "RGBA":
        image.paste((0, 0, 0, 0), (0, 0, 60, 80))
    return image


async def inspected(pictures: Pictures, image: Image.Image, kind: str = "PNG") -> Picture:
    return await pictures.inspect(encoded(image, kind), filename="1", result=True)


def decoded(picture: Picture) -> Image.Image:
    with Image.open(BytesIO(picture.content)) as image:
        image.load()
        return image


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("quality", [None, 80])
async def test_every_format_becomes_every_other(
    pictures: Pictures, source: OutputFormat, kind: OutputFormat, quality: int | None
) -> None:
    picture = await inspected(pictures, painting(), KINDS[source])
    made = await pictures.convert(picture, kind, quality)
    assert made.content_type == f"image/{kind}"
    assert made.filename == f"1{SUFFIXES[made.content_type]}"
    assert (made.width, made.height) == (120, 80)
    image = decoded(made)
    assert (image.format, image.size) == (KINDS[kind], (120, 80))
    red, green, blue = image.convert("RGB").getpixel((90, 40))  # type: ignore[misc]
    assert red > 240
    assert max(green, blue) < 15
    # The conversion is a picture that Easel would accept from a provider.
    assert (await pictures.inspect(made.content, filename="1", result=True)).content_type == made.content_type


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_picture_in_the_right_format_is_not_converted(pictures: Pictures, kind: OutputFormat) -> None:
    picture = await inspected(pictures, painting(), KINDS[kind])
    assert await pictures.convert(picture, kind, None) is picture


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "avif"])
@pytest.mark.parametrize("quality", [None, 50])
async def test_transparency_stays_where_the_format_supports_it(
    pictures: Pictures, kind: OutputFormat, quality: int | None
) -> None:
    picture = await inspected(pictures, painting("RGBA"), "WEBP" if kind == "png" else "PNG")
    alpha = decoded(await pictures.convert(picture, kind, quality)).convert("RGBA").getchannel("A")
    assert (alpha.getpixel((20, 40)), alpha.getpixel((100, 40))) == (0, 255)


@pytest.mark.parametrize("source", ["PNG", "WEBP", "GIF", "AVIF"])
async def test_transparency_becomes_white_in_a_jpeg(pictures: Pictures, source: str) -> None:
    picture = await inspected(pictures, painting("RGBA"), source)
    image = decoded(await pictures.convert(picture, "jpeg", 90))
    assert image.mode == "RGB"
    assert image.convert("L").getpixel((20, 40)) > 245  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
async def test_a_lower_quality_is_a_smaller_file(pictures: Pictures, kind: OutputFormat) -> None:
    picture = await inspected(pictures, noise((200, 200)).filter(ImageFilter.GaussianBlur(1)))
    sizes = [len((await pictures.convert(picture, kind, quality)).content) for quality in (0, 30, 60, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 3 < sizes[-1]
    again = await pictures.convert(await pictures.convert(picture, kind, 100), kind, 0)
    assert len(again.content) < sizes[1]


async def test_a_turned_photo_is_upright_in_its_new_format(pictures: Pictures) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    photo = await pictures.inspect(encoded(noise((30, 20)), "JPEG", exif=turned), filename="p", result=True)
    made = await pictures.convert(photo, "png", None)
    assert (made.width, made.height) == decoded(made).size == (20, 30)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGBA"])
@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif", "avif"])
async def test_every_kind_of_png_becomes_every_other_format(
    pictures: Pictures, mode: str, kind: OutputFormat
) -> None:
    picture = await inspected(pictures, Image.new(mode, (16, 16)))
    assert (await pictures.convert(picture, kind, 70)).content_type == f"image/{kind}"


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_picture_that_cannot_be_decoded_is_an_invalid_response(
    pictures: Pictures, kind: OutputFormat
) -> None:
    picture = await inspected(pictures, painting(), "WEBP" if kind == "png" else "PNG")
    for content in (b"", b"<html>", picture.content[: len(picture.content) // 2]):
        with pytest.raises(InvalidResponse) as refused:
            await pictures.convert(replace(picture, stored=content), kind, 80)
        assert refused.value.detail == "not decodable"


# Previews


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize(
    ("size", "shown"), [((1200, 800), (640, 427)), ((400, 1600), (160, 640)), ((64, 32), (64, 32))]
)
async def test_a_preview_is_small_and_keeps_its_shape(
    pictures: Pictures, kind: str, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    preview = await pictures.preview(encoded(Image.new("RGB", size, "teal"), kind))
    assert preview is not None
    assert (preview.content_type, preview.filename) == ("image/webp", "preview.webp")
    assert decoded(preview).size == (preview.width, preview.height)
    assert abs(preview.width - shown[0]) <= 1
    assert abs(preview.height - shown[1]) <= 1
    assert len(preview.content) < 100_000


async def test_a_preview_keeps_transparency(pictures: Pictures) -> None:
    preview = await pictures.preview(encoded(painting("RGBA"), "PNG"))
    assert preview is not None
    assert decoded(preview).getchannel("A").getextrema() == (0, 255)


def cut(kind: str, part: float) -> bytes:
    content = encoded(noise((200, 200)), kind)
    return content[: int(len(content) * part)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a picture at all",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"\0\0\0\x1cftypavif" + bytes(60),
        encoded(Image.new("RGB", (4, 4)), "TIFF"),
        *(cut(kind, part) for kind in ("PNG", "JPEG", "WEBP", "GIF", "AVIF") for part in (0.02, 0.5)),
        png_declaring(10, 10)[:-30],
    ],
)
async def test_a_file_that_is_no_picture_has_no_preview(pictures: Pictures, content: bytes) -> None:
    assert await pictures.preview(content) is None


@pytest.mark.parametrize(
    "content",
    [
        png_declaring(10_000, 6_000),
        png_declaring(2_000_000_000, 2_000_000_000),
        webp_declaring(16_383, 16_383),
        encoded(Image.new("1", (10_000, 6_000)), "PNG"),
    ],
)
async def test_a_bomb_has_no_preview_and_is_not_decoded(pictures: Pictures, content: bytes) -> None:
    before = time.perf_counter()
    assert await pictures.preview(content) is None
    assert time.perf_counter() - before < 1


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "AVIF"]),
    st.integers(0, 10**6),
    st.binary(min_size=1, max_size=8),
    st.booleans(),
)
def test_a_damaged_file_is_a_picture_or_none_and_raises_nothing_else(
    kind: str, place: int, junk: bytes, result: bool
) -> None:
    content = bytearray(encoded(painting(), kind))
    place %= len(content)
    content[place : place + len(junk)] = junk

    async def play() -> None:
        pictures = open_pictures()
        preview = await pictures.preview(bytes(content))
        assert preview is None or max(preview.width, preview.height) <= 640
        with suppress(BadSource):
            picture = await pictures.inspect(bytes(content), filename="1", result=result)
            with suppress(InvalidResponse):
                await pictures.convert(picture, "webp", 50)

    asyncio.run(play())


# On disk


async def test_a_large_picture_is_made_of_a_file_and_into_a_file(pictures: Pictures) -> None:
    receiver = Receiver()
    for part in batched_bytes(encoded(noise((700, 700)), "PNG"), 100_000):
        receiver.append(part)
    stored = receiver.content()
    assert isinstance(stored, DiskFile)
    picture = await pictures.inspect(stored, filename="1", result=True)
    assert picture.stored is stored
    made = await pictures.convert(picture, "webp", 100)
    assert isinstance(made.stored, DiskFile)
    assert decoded(made).size == (700, 700)
    smaller = await pictures.shrink(made, 50_000)
    assert smaller is not None
    assert smaller.size == len(smaller.content) <= 50_000


def batched_bytes(content: bytes, length: int) -> list[bytes]:
    return [content[start : start + length] for start in range(0, len(content), length)]


def test_a_file_is_gone_with_its_last_user() -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    receiver = Receiver()
    receiver.append(bytes(IN_MEMORY + 1))
    with Picture(stored=receiver.content(), content_type="", filename="", width=1, height=1).open() as file:
        assert open_files() == before + 1
        assert len(file.read()) == IN_MEMORY + 1
    del receiver
    assert open_files() == before


@pytest.mark.parametrize(
    ("width", "height", "came"),
    [(300, 400, (300, 400)), (64, 64, (256, 256)), (128, 100, (327, 256)), (4000, 3000, (2309, 1732))],
)
async def test_a_picture_is_scaled_to_what_a_model_takes(
    pictures: Pictures, width: int, height: int, came: tuple[int, int]
) -> None:
    given = await pictures.inspect(encoded(Image.new("RGB", (width, height), "teal"), "JPEG"), filename="a.jpg")
    fitted = await pictures.fit(given, 256, 4_000_000)
    assert (fitted.width, fitted.height) == came
    assert (fitted is given) == (came == (width, height))
    assert fitted.content_type == "image/jpeg"


@pytest.mark.parametrize(("size", "upright"), [((300, 100), (256, 768)), ((4000, 1000), (1000, 4000))])
async def test_a_turned_photo_is_scaled_as_it_is_seen(
    pictures: Pictures, size: tuple[int, int], upright: tuple[int, int]
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    photo = Image.new("RGB", size, "red")
    photo.paste("blue", (0, 0, size[0] // 2, size[1]))  # the upper half, once it is turned
    given = await pictures.inspect(encoded(photo, "JPEG", exif=turned), filename="a.jpg")
    fitted = await pictures.fit(given, 256, 3_999_999)
    with Image.open(fitted.open()) as image:
        assert image.width / image.height == pytest.approx(upright[0] / upright[1], rel=0.01)
        assert image.size == (fitted.width, fitted.height)
        assert image.getexif().get(0x0112, 1) == 1
        above, below = (image.getpixel((image.width // 2, image.height * part // 4)) for part in (1, 3))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert above[2] > 200 > 50 > above[0]
    assert below[0] > 200 > 50 > below[2]


async def test_a_transparent_picture_stays_so_when_it_is_scaled(pictures: Pictures) -> None:
    given = await pictures.inspect(png(64, 64, colour=(255, 0, 0, 0), mode="RGBA"), filename="a.png")
    fitted = await pictures.fit(given, 256, 4_000_000)
    with Image.open(fitted.open()) as image:
        assert (image.mode, image.size) == ("RGBA", (256, 256))
        assert image.getchannel("A").getextrema() == (0, 0)


async def test_a_picture_that_no_scale_makes_fit_is_refused(pictures: Pictures) -> None:
    given = await pictures.inspect(png(8000, 40), filename="strip.png")
    with pytest.raises(BadSource, match=r"strip\.png is too long and narrow for this model\. Send another one\."):
        await pictures.fit(given, 256, 4_000_000)
