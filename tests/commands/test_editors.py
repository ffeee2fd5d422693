"""Changing a picture: /edit, masks, replies, the form behind the button and the menu, and chains of edits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from PIL import Image, ImageChops

from bot.chat.discord.public_refusals import PublicRefusals
from bot.demo.stage import Stage, image_of, labels
from bot.sandbox import painter
from tests.support.demo.simcord_stage import (
    imagine,
    job,
    notified,
    open_test_stage,
    picture_file,
    private_followup,
    private_reply,
    quota,
)

SIDE = 1024
LEFT, RIGHT = (0, 0, SIDE // 2, SIDE), (SIDE // 2, 0, SIDE, SIDE)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_test_stage(tmp_path) as opened:
        yield opened


def mask_file(side: int = SIDE) -> bytes:
    """A mask that is transparent in its right half, which may be painted."""
    mask = Image.new("RGBA", (side, side), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (side // 2, 0, side, side))
    return painter.encode(mask, "png")


async def pixels(message: discord.Message) -> Image.Image:
    """The first picture of a result."""
    return image_of(await message.attachments[0].read()).convert("RGB")


def same(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int]) -> bool:
    """Whether two pictures are equal inside a box."""
    return ImageChops.difference(one.crop(box), other.crop(box)).getbbox() is None


async def replied(stage: Stage, to: discord.Message, text: str) -> str:
    """Have Theo reply to a message; returns Easel's latest public reply to that."""
    message = await stage.theo.send(stage.channel, text, reply_to=to)
    answers = [
        item
        for item in stage.channel.history()
        if item.author.bot and item.reference and item.reference.message_id == message.id
    ]
    return answers[-1].content


# /edit


async def test_outside_the_mask_not_a_pixel_changes(stage: Stage) -> None:
    source = picture_file(side=SIDE)
    await stage.theo.slash(
        stage.channel, "edit", prompt="make it night", image=("house.png", source), mask=("m.png", mask_file())
    )
    before, after = image_of(source).convert("RGB"), await pixels(await stage.picture())
    assert same(before, after, LEFT)
    assert not same(before, after, RIGHT)


async def test_every_option_of_edit_reaches_the_provider(stage: Stage) -> None:
    more = {f"image{number}": (f"{number}.png", picture_file(f"a fox {number}")) for number in (2, 3, 4)}
    await stage.theo.slash(
        stage.channel,
        "edit",
        prompt="all of them together",
        model="gpt-image-1.5",
        image=("1.png", picture_file()),
        **more,
        size="landscape",
        quality="low",
        fidelity="high",
        count=2,
        format="jpeg",
        spoiler=True,
    )
    message = await stage.picture()
    [submitted] = stage.fal.requests.values()
    assert submitted.endpoint == "fal-ai/gpt-image-1.5/edit"
    assert len(submitted.shown["image_urls"]) == 4
    sent = {name: submitted.shown[name] for name in ("image_size", "quality", "input_fidelity", "num_images")}
    assert sent == {"image_size": "1536x1024", "quality": "low", "input_fidelity": "high", "num_images": 2}
    assert [item.is_spoiler() for item in message.attachments] == [True, True]
    assert image_of(await message.attachments[1].read()).format == "JPEG"
    request = (await job(stage, message)).request
    assert [source.filename for source in request.sources] == ["1.png", "2.png", "3.png", "4.png"]


async def test_a_mask_of_another_size_is_refused_before_anything_is_charged(stage: Stage) -> None:
    result = await stage.theo.slash(
        stage.channel,
        "edit",
        prompt="make it night",
        image=("house.png", picture_file()),
        mask=("mask.png", mask_file(32)),
    )
    assert "The mask is 32×32 and the picture 64×64." in private_reply(result)
    assert (await quota(stage, stage.theo)).left == 10


async def test_a_mask_that_leaves_nothing_to_paint_is_refused_privately(stage: Stage) -> None:
    mask = painter.encode(Image.new("RGBA", (64, 64), (0, 0, 0, 255)), "png")
    result = await stage.theo.slash(
        stage.channel, "edit", prompt="night", image=("house.png", picture_file()), mask=("mask.png", mask)
    )
    assert "mask" in (await private_followup(stage, result)).lower()
    assert (await quota(stage, stage.theo)).left == 10


# By reply


@pytest.mark.parametrize("mention", [True, False], ids=["mention", "name"])
async def test_a_reply_that_mentions_easel_edits_the_result(stage: Stage, mention: bool) -> None:
    original = await imagine(stage, stage.nora, "a lighthouse")
    bot = stage.env.bot.user
    assert bot is not None
    text = f"{bot.mention if mention else '@' + bot.name} make it snow"
    reply = await stage.theo.send(stage.channel, text, reply_to=original)
    edited = await stage.picture(2)
    assert edited.content.startswith(f"{stage.theo.mention} make it snow\n")
    assert edited.reference is not None
    assert edited.reference.message_id == reply.id
    assert notified(stage, edited) == {stage.theo.id}
    assert not same(await pixels(original), await pixels(edited), (0, 0, SIDE, SIDE))
    done = await job(stage, edited)
    assert done.parent_id == (await job(stage, original)).id
    assert [source.filename for source in done.request.sources] == [original.attachments[0].filename]
    assert (await quota(stage, stage.theo)).spent == 1
    assert (await quota(stage, stage.nora)).spent == 1


async def test_a_reply_shows_a_card_that_says_which_picture(stage: Stage) -> None:
    original = await imagine(stage, stage.nora, count=2)
    stage.fal.faults.set("slow_run", seconds=0.5)
    await stage.theo.send(stage.channel, f"{stage.mention} make it snow", reply_to=original)
    [card] = stage.cards()
    assert "**Editing:** make it snow" in card.content
    assert "Editing picture 1 of 2. Begin with #2 to choose the second." in str(
        [call.json for call in stage.env.http_requests if call.json]
    )
    assert labels(card) == ["Cancel"]
    await stage.theo.click(card, label="Cancel")
    await stage.idle()
    assert len(stage.pictures()) == 1


async def test_a_number_chooses_one_of_several_pictures(stage: Stage) -> None:
    original = await imagine(stage, stage.nora, count=3)
    await stage.theo.send(stage.channel, f"{stage.mention} #2 make it snow", reply_to=original)
    edited = await stage.picture(2)
    request = (await job(stage, edited)).request
    assert request.prompt == "make it snow"
    assert [source.filename for source in request.sources] == [original.attachments[1].filename]
    assert await replied(stage, original, f"{stage.mention} #4 make it snow") == (
        "There are 3 pictures there; #4 is not one of them. Nothing was charged."
    )


async def test_a_refused_reply_is_answered_publicly_and_the_answer_removes_itself(stage: Stage) -> None:
    stage.app.client.refusals = PublicRefusals(member_seconds=0, channel_seconds=0)
    bot = stage.env.bot.user
    assert bot is not None
    photo = await stage.nora.send(stage.channel, "my house", attachments=[("house.png", picture_file())])
    reply = await replied(stage, photo, f"{bot.mention} make it snow")
    assert reply.startswith(
        "Easel cannot see a picture there. Hold or right-click the message, then Apps › Edit image."
    )
    await stage.theo.send(stage.channel, f"{bot.mention} hello")
    hint = stage.channel.history()[-1].content
    assert hint.startswith("Reply to a picture, or attach one, and say what should change.")
    original = await imagine(stage, stage.nora)
    assert (await replied(stage, original, bot.mention)).startswith("Say what should change")
    await stage.mika.slash(stage.channel, "moderate limit", images=0, per="day", member=stage.theo)
    assert "switched off here" in await replied(stage, original, f"{stage.mention} make it snow")
    refusals = [item.id for item in stage.channel.history() if "Nothing was charged" in item.content]
    assert len(refusals) == 4
    await stage.env.advance_time(31)
    left = {item.id for item in stage.channel.history()}
    assert not left & set(refusals)
    assert len(stage.pictures()) == 1


async def test_messages_that_are_not_for_easel_are_ignored(stage: Stage) -> None:
    original = await imagine(stage, stage.nora)
    talk = await stage.theo.send(stage.channel, "what a fox")
    await stage.nora.send(stage.channel, "thank you", reply_to=talk)
    await stage.idle()
    assert [item.id for item in stage.pictures()] == [original.id]
    assert stage.fal.submits == 1


# The form


async def test_the_edit_button_takes_a_mask_and_a_second_picture(stage: Stage) -> None:
    original = await imagine(stage, stage.nora, "a lighthouse")
    form = await stage.theo.click(original, label="Edit")
    assert form.modal is not None
    assert form.modal["title"] == "Edit this picture"
    await stage.theo.submit_modal(
        form,
        {
            "prompt": "make it night",
            "mask": ("mask.png", mask_file()),
            "second": ("fox.png", picture_file("a fox")),
        },
    )
    edited = await stage.picture(2)
    before, after = await pixels(original), await pixels(edited)
    assert same(before, after, LEFT)
    assert not same(before, after, RIGHT)
    done = await job(stage, edited)
    assert [source.filename for source in done.request.sources] == [original.attachments[0].filename, "fox.png"]
    assert done.parent_id == (await job(stage, original)).id
    assert done.requester.user_id == stage.theo.id


async def test_a_prompt_of_blanks_is_refused(stage: Stage) -> None:
    original = await imagine(stage, stage.nora)
    form = await stage.theo.click(original, label="Edit")
    refused = await stage.theo.submit_modal(form, {"prompt": "   "})
    assert private_reply(refused) == "Your prompt is empty. Tell Easel what to paint. Nothing was charged."


async def test_the_menu_edits_a_members_picture(stage: Stage) -> None:
    photo = await stage.nora.send(stage.channel, "", attachments=[("house.png", picture_file(side=SIDE))])
    form = await stage.theo.context_menu(stage.channel, "Edit image", photo)
    await stage.theo.submit_modal(form, {"prompt": "make it snow"})
    edited = await stage.picture()
    done = await job(stage, edited)
    assert [source.filename for source in done.request.sources] == ["house.png"]
    assert done.parent_id is None
    talk = await stage.nora.send(stage.channel, "no picture here")
    refused = await stage.theo.context_menu(stage.channel, "Edit image", talk)
    assert private_reply(refused).startswith("There is no picture in this message.")


async def test_the_form_offers_each_picture_of_a_message(stage: Stage) -> None:
    files = [(f"{name}.png", picture_file(name)) for name in ("fox", "boat", "cat")]
    album = await stage.nora.send(stage.channel, "", attachments=[("notes.txt", b"no picture"), *files])
    form = await stage.theo.context_menu(stage.channel, "Edit image", album)
    await stage.theo.submit_modal(form, {"prompt": "make it snow", "which": ["2"]})
    request = (await job(stage, await stage.picture())).request
    assert [source.filename for source in request.sources] == ["boat.png"]


async def test_a_forwarded_picture_can_be_edited(stage: Stage) -> None:
    photo = await stage.nora.send(stage.channel, "", attachments=[("house.png", picture_file())])
    forwarded = await stage.nora.forward(photo, stage.channel)
    form = await stage.theo.context_menu(stage.channel, "Edit image", forwarded)
    await stage.theo.submit_modal(form, {"prompt": "make it snow"})
    request = (await job(stage, await stage.picture())).request
    assert [source.filename for source in request.sources] == ["house.png"]


# Chains


async def test_an_edit_of_an_edit_has_its_parent(stage: Stage) -> None:
    first = await imagine(stage, stage.nora, "a lighthouse")
    await stage.theo.send(stage.channel, f"{stage.mention} make it night", reply_to=first)
    second = await stage.picture(2)
    form = await stage.nora.click(second, label="Edit")
    await stage.nora.submit_modal(form, {"prompt": "make it snow"})
    third = await stage.picture(3)
    form = await stage.theo.context_menu(stage.channel, "Edit image", third)
    await stage.theo.submit_modal(form, {"prompt": "add a boat"})
    chain = [await job(stage, item) for item in (first, second, third, await stage.picture(4))]
    assert [item.parent_id for item in chain] == [None, *(item.id for item in chain[:3])]
