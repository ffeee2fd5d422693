"""Options that a provider lacks: done by Easel, named on card and result, or refused before anything is stored."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bot.sandbox.discord.server import Upload
from tests.support.picture_files import png
from tests.support.world.discord_members import Quota
from tests.support.world.providers import provider_order, submits
from tests.support.world.world import World


@pytest.mark.parametrize(("kind", "label"), [("gif", "GIF"), ("avif", "AVIF")])
async def test_a_format_that_fal_lacks_is_delivered(full_world: World, kind: str, label: str) -> None:
    async with full_world.bot():
        job = await full_world.imagine(format=kind)
        assert label in (await full_world.card(job))["content"]
        message = await full_world.assert_one_picture(job)
    [attachment] = message["attachments"]
    assert (attachment["filename"], attachment["content_type"]) == (f"easel-{job}-1.{kind}", f"image/{kind}")
    [picture] = await full_world.download_pictures(message)
    assert (picture.format, picture.size) == (label, (1024, 1024))
    [request] = full_world.fal.requests.values()
    assert request.shown["output_format"] == "png"


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
async def test_compression_makes_another_file_of_the_same_picture_at_fal(world: World, kind: str) -> None:
    async with world.bot():
        sizes = []
        for compression in (5, 100):
            message = await world.paint(format=kind, compression=compression)
            [attachment] = message["attachments"]
            [picture] = await world.download_pictures(message)
            assert (picture.format or "").lower() == kind
            sizes.append(int(attachment["size"]))
    assert sizes[0] * 2 < sizes[1]
    assert all("compression" not in request.shown for request in world.fal.requests.values())


async def test_compression_at_lumenfall_is_lumenfalls_own(full_world: World) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order("lumenfall")):
        await full_world.paint(format="webp", compression=40)
    [request] = full_world.lumenfall.requests.values()
    assert request.fields["output_compression"] == 40


async def test_a_changed_aspect_ratio_is_named_on_the_card_and_on_the_result(
    full_world: World,
) -> None:
    async with full_world.bot():
        job = await full_world.imagine(size="16:9")
        assert "16:9 became 3:2." in (await full_world.card(job))["content"]
        message = await full_world.assert_one_picture(job)
    assert "16:9 became 3:2." in message["content"]
    [picture] = await full_world.download_pictures(message)
    assert picture.size == (1536, 1024)


async def test_the_result_names_the_changes_of_the_provider_that_painted(full_world: World) -> None:
    full_world.fal.faults.set("locked")
    async with full_world.bot(SERVICE_ORDER=provider_order("fal", "lumenfall")):
        job = await full_world.imagine(size="1400x1200", format="gif")
        assert "1400×1200 became 1024×1024." in (await full_world.card(job))["content"]
        message = await full_world.assert_one_picture(job)
    assert "became" not in message["content"]
    [picture] = await full_world.download_pictures(message)
    assert (picture.format, picture.size) == ("GIF", (1400, 1200))


async def test_oxen_chooses_the_quality_itself_and_says_so(full_world: World) -> None:
    async with full_world.bot(SERVICE_ORDER=provider_order("oxen")):
        job = await full_world.imagine(quality="high")
        card = (await full_world.card(job))["content"]
        message = await full_world.assert_one_picture(job)
    for text in (card, message["content"]):
        assert "The service chooses the quality itself." in text
        assert "high" not in text
    [row] = full_world.oxen.generations.values()
    assert "quality" not in row.params


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"background": "transparent", "format": "jpeg"}, "A JPEG cannot be transparent"),
        ({"format": "png", "compression": 50}, "A PNG cannot be compressed"),
        ({"size": "enormous"}, "has no size “enormous”"),
        (
            {"model": "nano-banana-2", "background": "transparent"},
            "Choose GPT Image 2.5 Flare, GPT Image 2.5 Sunburst or GPT Image 2 as the model",
        ),
        ({"model": "gpt-image-3"}, "no model “gpt-image-3”"),
    ],
)
async def test_a_request_that_no_provider_can_paint_is_refused_before_anything_is_stored(
    full_world: World, options: dict[str, Any], words: str
) -> None:
    async with full_world.bot():
        assert words in await full_world.refusal(await full_world.imagine(**options))
        assert await full_world.quota() == Quota(left=10, spent=0, reserved=0)
    assert full_world.rows("SELECT 1 FROM jobs") == full_world.rows("SELECT 1 FROM ledger") == []
    assert submits(full_world) == (0, 0, 0)


async def test_a_request_that_the_first_provider_cannot_paint_goes_to_one_that_can(full_world: World) -> None:
    mask = Upload("mask.png", png(colour=(0, 0, 0, 0), mode="RGBA"))
    async with full_world.bot(SERVICE_ORDER=provider_order("oxen", "lumenfall")):
        jobs = [
            await full_world.imagine(background="transparent"),
            await full_world.edit(mask=mask, size="square"),
        ]
        for job in jobs:
            message = await full_world.result_message(job)
            await full_world.wait_finished(job)
            assert full_world.job(job)["provider"] == "lumenfall"
            assert "The service" not in message["content"]
        [_, edited] = full_world.lumenfall.requests.values()
        assert len(edited.files) == 2
    assert submits(full_world) == (0, 2, 0)


async def test_a_seed_paints_the_same_picture_again_and_is_named_in_the_result(full_world: World) -> None:
    options: dict[str, Any] = {"model": "flux-2-pro", "quality": "medium", "size": "square"}
    full_world.fal.one_picture = False
    async with full_world.bot():
        drawn = await full_world.paint(**options)
        told = re.search(r" · seed (\d+) · ", drawn["content"])
        assert told is not None, drawn["content"]
        again, other, edited = [
            await full_world.paint(seed=int(told[1]), **options),
            await full_world.paint(seed=7, **options),
            await full_world.result_message(await full_world.edit(seed=7, **options)),
        ]
        assert "takes no seed. Choose Nano Banana 2, Nano Banana Pro or FLUX.2 pro" in await full_world.refusal(
            await full_world.imagine(model="gpt-image-2.5-flare", quality="medium", seed=7)
        )
    first, second, third = [
        (await full_world.download_pictures(message))[0].tobytes() for message in (drawn, again, other)
    ]
    assert first == second != third
    assert " · seed 7 · " in other["content"]
    assert " · seed 7 · " in edited["content"]


async def test_each_of_several_pictures_has_a_seed_of_its_own(full_world: World) -> None:
    full_world.fal.one_picture = False
    async with full_world.bot():
        message = await full_world.paint(model="flux-2-pro", quality="medium", seed=2**31 - 1, count=3)
    assert sorted(request.shown["seed"] for request in full_world.fal.requests.values()) == [0, 1, 2**31 - 1]
    pictures = [picture.tobytes() for picture in await full_world.download_pictures(message)]
    assert len(set(pictures)) == 3
    assert " · seed 2147483647 · " in message["content"]
