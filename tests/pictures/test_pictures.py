"""Which files Easel accepts as pictures, masks, and pictures made to fit a size in bytes."""

from __future__ import annotations

import struct
import time
import zlib
from io import BytesIO

import pytest
from PIL import Image

from bot.domain.content import DiskFile
from bot.domain.errors import BadSource
from bot.domain.pictures import Picture
from bot.pictures.pictures import Pictures
from tests.support.picture_files import (
    encoded,
    noise,
    on_disk,
    png_declaring,
    png_of_chunks,
    png_without_pixels,
    webp_declaring,
)


async def test_a_picture_on_disk_stays_the_same_file(pictures: Pictures) -> None:
    content = on_disk(encoded(noise((500, 500)), "PNG"))
    assert isinstance(content, DiskFile)
    assert (await pictures.inspect(content, filename="mine.png")).stored is content


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
async def test_a_picture_is_described_by_what_it_is_and_keeps_its_bytes(
    pictures: Pictures, kind: str, suffix: str
) -> None:
    content = encoded(noise((30, 20)), kind)
    picture = await pictures.inspect(content, filename="mine.bmp")
    assert picture.content is content
    assert (picture.width, picture.height) == (30, 20)
    assert picture.content_type == f"image/{kind.lower()}"
    assert picture.filename == f"mine{suffix}"


async def test_a_matching_file_ending_stays(pictures: Pictures) -> None:
    content = encoded(noise((4, 4)), "JPEG")
    assert (await pictures.inspect(content, filename="a/b\\holiday.JPEG")).filename == "holiday.JPEG"


async def test_the_first_frame_of_a_gif_becomes_a_png(pictures: Pictures) -> None:
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = await pictures.inspect(content, filename="dance.gif")
    assert (picture.content_type, picture.filename) == ("image/png", "dance.png")
    assert picture.content is not content
    with Image.open(BytesIO(picture.content)) as image:
        assert image.convert("RGB").getpixel((3, 3)) == (255, 0, 0)


async def test_an_avif_becomes_a_png_since_no_provider_takes_it(pictures: Pictures) -> None:
    clear = Image.new("RGBA", (12, 8), (255, 0, 0, 0))
    picture = await pictures.inspect(encoded(clear, "AVIF"), filename="night.avif")
    assert (picture.content_type, picture.filename) == ("image/png", "night.png")
    with Image.open(BytesIO(picture.content)) as image:
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(("kind", "suffix"), [("GIF", ".gif"), ("AVIF", ".avif")])
async def test_a_gif_or_an_avif_from_a_provider_keeps_its_format(
    pictures: Pictures, kind: str, suffix: str
) -> None:
    content = encoded(noise((30, 20)), kind)
    picture = await pictures.inspect(content, filename="1.png", result=True)
    assert picture.content is content
    assert (picture.content_type, picture.filename) == (f"image/{kind.lower()}", f"1{suffix}")
    assert (picture.width, picture.height) == (30, 20)


async def test_an_animation_from_a_provider_keeps_its_frames(pictures: Pictures) -> None:
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (await pictures.inspect(content, filename="1.gif", result=True)).content is content


async def test_a_phone_picture_with_a_second_picture_inside_is_a_jpeg(pictures: Pictures) -> None:
    content = encoded(noise((16, 16)), "MPO", save_all=True, append_images=[noise((16, 16))])
    assert (await pictures.inspect(content, filename="phone.jpg")).content_type == "image/jpeg"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just some notes\n" * 20,
        b"<html>not found</html>",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encoded(Image.new("RGB", (4, 4)), "BMP"),
        encoded(Image.new("RGB", (4, 4)), "TIFF"),
    ],
)
async def test_any_other_file_is_refused_with_the_accepted_formats(pictures: Pictures, content: bytes) -> None:
    with pytest.raises(BadSource) as refusal:
        await pictures.inspect(content, filename="notes.png")
    assert refusal.value.sentence == "notes.png is not a picture Easel can read. Send a PNG, JPEG or WebP."


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("result", [False, True])
async def test_a_picture_that_was_cut_short_is_refused(
    pictures: Pictures, kind: str, part: float, result: bool
) -> None:
    content = encoded(noise((200, 200)), kind)
    with pytest.raises(BadSource, match="is not a picture Easel can read"):
        await pictures.inspect(content[: int(len(content) * part)], filename="cut", result=result)


async def test_a_png_with_a_changed_byte_is_refused(pictures: Pictures) -> None:
    content = bytearray(encoded(noise((200, 200)), "PNG"))
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(BadSource):
        await pictures.inspect(bytes(content), filename="odd.png")


@pytest.mark.parametrize(
    "content",
    [
        png_declaring(10_000, 6_000),
        png_declaring(30_000, 30_000),
        png_declaring(2_000_000_000, 2_000_000_000),
        webp_declaring(10_000, 6_000),
        webp_declaring(16_383, 16_383),
    ],
)
async def test_too_many_pixels_are_refused_from_the_header_alone(pictures: Pictures, content: bytes) -> None:
    before = time.perf_counter()
    with pytest.raises(BadSource, match=r"has [0-9]+ megapixels; the most is 50\. Send a smaller one\."):
        await pictures.inspect(content, filename="wall.png")
    assert time.perf_counter() - before < 1


async def test_a_real_picture_of_sixty_megapixels_is_refused_with_its_size(pictures: Pictures) -> None:
    content = encoded(Image.new("1", (10_000, 6_000)), "PNG")
    with pytest.raises(BadSource, match="has 60 megapixels"):
        await pictures.inspect(content, filename="wall.png")


async def test_a_jpeg_bomb_is_refused(pictures: Pictures) -> None:
    content = bytearray(encoded(Image.new("L", (8, 8)), "JPEG"))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", 65_000, 65_000)
    with pytest.raises(BadSource, match="has 4225 megapixels; the most is 50"):
        await pictures.inspect(bytes(content), filename="bomb.jpg")


async def test_a_file_name_is_shown_without_control_characters(pictures: Pictures) -> None:
    with pytest.raises(BadSource) as refusal:
        await pictures.inspect(b"", filename="a\u202e\n" + "b" * 500)
    assert len(refusal.value.sentence) < 160
    assert "\n" not in refusal.value.sentence
    assert "\u202e" not in refusal.value.sentence


async def inspected(pictures: Pictures, image: Image.Image, kind: str = "PNG") -> Picture:
    return await pictures.inspect(encoded(image, kind), filename="mask")


def half(mode: str, left: object, right: object) -> Image.Image:
    image = Image.new(mode, (20, 10), left)  # type: ignore[arg-type]
    image.paste(right, (10, 0, 20, 10))  # type: ignore[arg-type]
    return image


async def test_a_transparent_mask_stays_as_it_is(pictures: Pictures) -> None:
    picture = await inspected(pictures, Image.new("RGB", (20, 10)))
    mask = await inspected(pictures, half("RGBA", (0, 0, 0, 255), (0, 0, 0, 0)))
    assert await pictures.check_mask(mask, picture) is mask


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (half("RGB", "black", "white"), "PNG"),
        (half("L", 0, 255), "PNG"),
        (half("1", 0, 1), "PNG"),
        (half("RGB", "black", "white"), "JPEG"),
        (half("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)), "PNG"),
        (half("RGBA", (9, 9, 9, 255), (9, 9, 9, 0)), "WEBP"),
        (half("RGBA", (9, 9, 9, 255), (9, 9, 9, 40)), "PNG"),
    ],
)
async def test_white_on_black_and_every_kind_of_transparency_become_a_clear_png(
    pictures: Pictures, image: Image.Image, kind: str
) -> None:
    picture = await inspected(pictures, Image.new("RGB", (20, 10)))
    mask = await pictures.check_mask(await inspected(pictures, image, kind), picture)
    assert (mask.content_type, mask.width, mask.height) == ("image/png", 20, 10)
    with Image.open(BytesIO(mask.content)) as made:
        alpha = made.getchannel("A")
        assert (alpha.getpixel((2, 5)), alpha.getpixel((17, 5))) == (255, 0)


async def test_a_mask_of_another_size_is_refused_with_both_sizes(pictures: Pictures) -> None:
    picture = await inspected(pictures, Image.new("RGB", (30, 10)))
    mask = await inspected(pictures, half("L", 0, 255))
    with pytest.raises(BadSource, match=r"The mask is 20×10 and the picture 30×10\. Both must"):
        await pictures.check_mask(mask, picture)


@pytest.mark.parametrize("image", [Image.new("L", (20, 10), 0), Image.new("RGBA", (20, 10), (0, 0, 0, 255))])
async def test_a_mask_that_marks_nothing_is_refused(pictures: Pictures, image: Image.Image) -> None:
    picture = await inspected(pictures, Image.new("RGB", (20, 10)))
    with pytest.raises(BadSource, match="The mask marks nothing"):
        await pictures.check_mask(await inspected(pictures, image), picture)


async def test_a_picture_that_fits_is_left_alone(pictures: Pictures) -> None:
    picture = await inspected(pictures, noise((20, 20)))
    assert await pictures.shrink(picture, 10_000) is picture


async def test_a_picture_that_is_too_big_becomes_a_jpeg_of_the_same_size(pictures: Pictures) -> None:
    picture = await inspected(pictures, noise((300, 200)))
    smaller = await pictures.shrink(picture, 80_000)
    assert smaller is not None
    assert len(smaller.content) <= 80_000
    assert (smaller.content_type, smaller.filename) == ("image/jpeg", "mask.jpg")
    assert (smaller.width, smaller.height) == (300, 200)


async def test_transparency_survives_being_made_smaller(pictures: Pictures) -> None:
    picture = await inspected(pictures, noise((300, 200), "RGBA"))
    smaller = await pictures.shrink(picture, 20_000)
    assert smaller is not None
    assert len(smaller.content) <= 20_000
    assert smaller.content_type == "image/webp"
    with Image.open(BytesIO(smaller.content)) as image:
        assert image.has_transparency_data
        assert image.size == (smaller.width, smaller.height)


async def test_a_picture_shrinks_where_a_lower_quality_is_not_enough(pictures: Pictures) -> None:
    smaller = await pictures.shrink(await inspected(pictures, noise((600, 400))), 8_000)
    assert smaller is not None
    assert len(smaller.content) <= 8_000
    assert smaller.width < 600
    assert abs(smaller.width / smaller.height - 1.5) < 0.05


async def test_a_turned_photo_stays_upright(pictures: Pictures) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    picture = await inspected(pictures, noise((300, 200)))
    photo = await pictures.inspect(encoded(noise((300, 200)), "JPEG", quality=95, exif=turned), filename="p.jpg")
    smaller = await pictures.shrink(photo, len(photo.content) - 1)
    assert smaller is not None
    assert (smaller.width, smaller.height) == (picture.height, picture.width)


async def test_a_size_that_no_picture_can_have_gives_none(pictures: Pictures) -> None:
    assert await pictures.shrink(await inspected(pictures, noise((200, 200))), 100) is None


def grey16(left: int, right: int) -> Image.Image:
    """16 bits a pixel, as a painting program or a scanner writes them."""
    row = left.to_bytes(2, "little") * 10 + right.to_bytes(2, "little") * 10
    return Image.frombytes("I;16", (20, 10), row * 10)


async def test_a_mask_of_16_bits_keeps_its_dark_part(pictures: Pictures) -> None:
    picture = await inspected(pictures, Image.new("RGB", (20, 10)))
    mask = await pictures.check_mask(await inspected(pictures, grey16(0x1000, 0xF000)), picture)
    with Image.open(BytesIO(mask.content)) as made:
        alpha = made.getchannel("A")
        assert (alpha.getpixel((2, 5)), alpha.getpixel((17, 5))) == (255, 0)


async def test_a_picture_of_16_bits_keeps_its_shades_in_another_format(pictures: Pictures) -> None:
    made = await pictures.convert(await inspected(pictures, grey16(0x4000, 0xC000)), "webp", 90)
    with Image.open(BytesIO(made.content)) as image:
        shades = image.convert("L")
    assert abs(int(shades.getpixel((2, 5))) - 0x40) < 6  # type: ignore[arg-type]
    assert abs(int(shades.getpixel((17, 5))) - 0xC0) < 6  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", [3, 6, 8])
async def test_a_turned_avif_becomes_an_upright_png(pictures: Pictures, orientation: int) -> None:
    turned = Image.Exif()
    turned[0x0112] = orientation
    image = Image.new("RGB", (60, 40), "blue")
    image.paste("red", (0, 0, 20, 40))
    picture = await pictures.inspect(encoded(image, "AVIF", quality=95, exif=turned), filename="phone.avif")
    with Image.open(BytesIO(picture.content)) as made:
        red = {3: (55, 20), 6: (20, 5), 8: (20, 55)}[orientation]
        assert made.size == (picture.width, picture.height) == ((60, 40) if orientation == 3 else (40, 60))
        assert made.convert("RGB").getpixel(red)[0] > 200  # type: ignore[index]
        assert made.getexif().get(0x0112, 1) == 1


# What is charged for has been decoded


def png_of_rows(rows: int) -> bytes:
    """A PNG of 64 rows with right check sums, and pixels for only so many."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return png_of_chunks((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows * (64 * 3 + 1)))), (b"IEND", b""))


@pytest.mark.parametrize("content", [png_without_pixels(), png_of_rows(63), png_of_rows(0)])
async def test_a_png_with_right_check_sums_that_nobody_can_open_is_no_result(
    pictures: Pictures, content: bytes
) -> None:
    with pytest.raises(BadSource):
        await pictures.inspect(content, filename="1", result=True)


async def test_a_png_with_all_of_its_rows_is_a_result(pictures: Pictures) -> None:
    assert (await pictures.inspect(png_of_rows(64), filename="1", result=True)).height == 64


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("mode", "size"), [("1", (9, 5)), ("P", (1, 7)), ("L", (5, 1)), ("RGB", (33, 70)), ("RGBA", (2, 2))]
)
async def test_every_kind_of_png_is_a_result_only_with_its_last_byte(
    pictures: Pictures, mode: str, size: tuple[int, int], interlaced: bool
) -> None:
    rows = _rows(mode, size, interlaced=interlaced)
    whole, cut = (_png(mode, size, data, interlaced=interlaced) for data in (rows, rows[:-1]))
    assert (await pictures.inspect(whole, filename="1", result=True)).width == size[0]
    with pytest.raises(BadSource):
        await pictures.inspect(cut, filename="1", result=True)


def _rows(mode: str, size: tuple[int, int], *, interlaced: bool) -> bytes:
    """The bytes of a picture's rows, all of filter 0 and of black pixels."""
    bits = {"1": 1, "P": 8, "L": 8, "RGB": 24, "RGBA": 32}[mode]
    grid = [(x, y) for y in range(size[1]) for x in range(size[0])]
    passes: dict[str | int, dict[int, int]] = {}
    for x, y in grid:
        row = passes.setdefault(ADAM7[y % 8][x % 8] if interlaced else 1, {})
        row[y] = row.get(y, 0) + 1
    return bytes(sum(1 + (columns * bits + 7) // 8 for rows in passes.values() for columns in rows.values()))


ADAM7 = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
"""The pass of each pixel of an 8 × 8 square, as the PNG specification prints it."""


def _png(mode: str, size: tuple[int, int], rows: bytes, *, interlaced: bool) -> bytes:
    depth, colour = {"1": (1, 0), "P": (8, 3), "L": (8, 0), "RGB": (8, 2), "RGBA": (8, 6)}[mode]
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, int(interlaced))
    palette = ((b"PLTE", bytes(3)),) if mode == "P" else ()
    packed = zlib.compress(rows)
    halves = ((b"IDAT", packed[:5]), (b"IDAT", b""), (b"IDAT", packed[5:]))
    return png_of_chunks((b"IHDR", header), *palette, *halves, (b"IEND", b""))


async def test_a_picture_too_large_to_be_converted_stays_as_it_is(pictures: Pictures) -> None:
    picture = await inspected(pictures, Image.new("1", (8_000, 6_000)))
    assert await pictures.convert(picture, "avif", 80) is picture


@pytest.mark.parametrize("whole", [True, False])
async def test_of_a_large_progressive_jpeg_only_the_end_is_looked_for_in_a_source(
    pictures: Pictures, whole: bool
) -> None:
    content = encoded(Image.new("L", (4000, 3000)), "JPEG", progressive=True)
    if whole:
        assert (await pictures.inspect(content + b"from my phone", filename="1.jpg")).width == 4000
    else:
        with pytest.raises(BadSource):
            await pictures.inspect(content[:-40], filename="1.jpg")


def _refused_and_accepted() -> tuple[list[bytes], list[bytes]]:
    header = (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    pixels, end = (b"IDAT", zlib.compress(bytes(64 * (64 * 3 + 1)))), (b"IEND", b"")
    of_palette = (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 3, 0, 0, 0))
    indices, palette = (b"IDAT", zlib.compress(bytes(64 * 65))), (b"PLTE", bytes(3))
    whole = png_of_chunks(header, pixels, end)
    refused = [png_of_chunks(header, pixels, (kind, b"hi"), end) for kind in (b"te t", b"\x00abc")]
    refused += [png_of_chunks(header, end), png_of_chunks(of_palette, indices, end), whole[:-5]]
    accepted = [whole[:-1], whole[:-4], whole[:-4] + b"oops", png_of_chunks(of_palette, indices, palette, end)]
    return refused, [whole, *accepted]


@pytest.mark.parametrize("result", [True, False])
async def test_of_a_pngs_end_only_the_mark_has_to_be_there(pictures: Pictures, result: bool) -> None:
    refused, accepted = _refused_and_accepted()
    for content in accepted:
        assert (await pictures.inspect(content, filename="1", result=result)).height == 64
    for content in refused[: None if result else 3]:
        with pytest.raises(BadSource):
            await pictures.inspect(content, filename="1", result=result)
