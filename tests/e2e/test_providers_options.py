"""What a service cannot do: made by Easel, told on card and result, or refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from bot.sandbox.discord.server import Upload
from tests.support.world.providers import asked, first, shown
from tests.support.world.world import Quota, World, assert_one_picture, png


@pytest.mark.parametrize(("kind", "label"), [("gif", "GIF"), ("avif", "AVIF")])
async def test_a_format_that_fal_does_not_have_really_arrives(three: World, kind: str, label: str) -> None:
    async with three.bot():
        job = await three.imagine(format=kind)
        assert label in (await three.card(job))["content"]
        message = await assert_one_picture(three, job)
    [attachment] = message["attachments"]
    assert (attachment["filename"], attachment["content_type"]) == (f"easel-{job}-1.{kind}", f"image/{kind}")
    [picture] = await shown(three, message)
    assert (picture.format, picture.size) == (label, (1024, 1024))
    [request] = three.fal.requests.values()
    assert request.shown["output_format"] == "png"


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
async def test_compression_makes_another_file_of_the_same_picture_at_fal(house: World, kind: str) -> None:
    async with house.bot():
        sizes = []
        for compression in (5, 100):
            message = await house.painted(format=kind, compression=compression)
            [attachment] = message["attachments"]
            [picture] = await shown(house, message)
            assert (picture.format or "").lower() == kind
            sizes.append(int(attachment["size"]))
    assert sizes[0] * 2 < sizes[1]
    assert all("compression" not in request.shown for request in house.fal.requests.values())


async def test_compression_at_lumenfall_is_lumenfalls_own(three: World) -> None:
    async with three.bot(SERVICE_ORDER=first("lumenfall")):
        await three.painted(format="webp", compression=40)
    [request] = three.lumenfall.requests.values()
    assert request.fields["output_compression"] == 40


async def test_a_shape_that_the_service_does_not_have_is_told_on_the_card_and_on_the_result(three: World) -> None:
    async with three.bot():
        job = await three.imagine(size="16:9")
        assert "16:9 became 3:2." in (await three.card(job))["content"]
        message = await assert_one_picture(three, job)
    assert "16:9 became 3:2." in message["content"]
    [picture] = await shown(three, message)
    assert picture.size == (1536, 1024)


async def test_what_the_next_service_does_otherwise_is_told_on_the_result(three: World) -> None:
    three.fal.faults.set("locked")
    async with three.bot(SERVICE_ORDER=first("fal", "lumenfall")):
        job = await three.imagine(size="1400x1200", format="gif")
        assert "1400×1200 became 1024×1024." in (await three.card(job))["content"]
        message = await assert_one_picture(three, job)
    assert "became" not in message["content"]
    [picture] = await shown(three, message)
    assert (picture.format, picture.size) == ("GIF", (1400, 1200))


async def test_oxen_chooses_the_quality_itself_and_says_so(three: World) -> None:
    async with three.bot(SERVICE_ORDER=first("oxen")):
        job = await three.imagine(quality="high")
        assert "The service chooses the quality itself." in (await three.card(job))["content"]
        message = await assert_one_picture(three, job)
    assert "The service chooses the quality itself." in message["content"]
    [row] = three.oxen.generations.values()
    assert "quality" not in row.params


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"background": "transparent", "format": "jpeg"}, "A JPEG cannot be transparent"),
        ({"format": "png", "compression": 50}, "A PNG cannot be compressed"),
        ({"size": "enormous"}, "has no size “enormous”"),
        (
            {"model": "gpt-image-2", "background": "transparent"},
            "Choose GPT Image 1.5 or GPT Image 1 as the model",
        ),
        ({"model": "gpt-image-3"}, "no model “gpt-image-3”"),
    ],
)
async def test_what_no_service_can_do_is_refused_before_anything_is_written(
    three: World, options: dict[str, Any], words: str
) -> None:
    async with three.bot():
        assert words in await three.refusal(await three.imagine(**options))
        assert await three.quota() == Quota(left=10, spent=0, reserved=0)
    assert three.rows("SELECT 1 FROM jobs") == three.rows("SELECT 1 FROM ledger") == []
    assert asked(three) == (0, 0, 0)


async def test_what_the_first_service_cannot_do_goes_to_one_that_can_without_a_word(three: World) -> None:
    mask = Upload("mask.png", png(colour=(0, 0, 0, 0), mode="RGBA"))
    async with three.bot(SERVICE_ORDER=first("oxen", "lumenfall")):
        jobs = [await three.imagine(background="transparent"), await three.edit(mask=mask, size="square")]
        for job in jobs:
            message = await three.picture(job)
            await three.ended(job)
            assert three.job(job)["provider"] == "lumenfall"
            assert "The service" not in message["content"]
        [_, edited] = three.lumenfall.requests.values()
        assert len(edited.files) == 2
    assert asked(three) == (0, 2, 0)
