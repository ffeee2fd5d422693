"""What a member sees of painting: the card and its price, the result, cancelling, deleting, and failures."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

from bot.demo.stage import EPHEMERAL, Stage, image_of, initial_response, labels
from bot.domain.jobs import JobState
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

MIDNIGHT = 1767312000
"""The end of SimCord's first day, 2026-01-02 00:00 UTC."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_test_stage(tmp_path) as opened:
        yield opened


# Painting


async def test_every_option_reaches_the_provider_and_the_message(stage: Stage) -> None:
    models = await stage.nora.autocomplete(stage.channel, "imagine", "model", "gpt", prompt="a fox")
    assert [model["name"].partition(" · ~$")[0] for model in models] == [
        "GPT Image 2.5 Flare",
        "GPT Image 2.5 Sunburst",
        "GPT Image 2",
        "GPT Image 1.5",
        "GPT Image 1",
    ]
    sizes = await stage.nora.autocomplete(stage.channel, "imagine", "size", "9", prompt="a fox")
    assert {size["value"] for size in sizes} >= {"16:9", "9:16"}
    message = await imagine(
        stage,
        stage.nora,
        model="gpt-image-1.5",
        size="portrait",
        quality="high",
        count=2,
        background="transparent",
        format="webp",
        spoiler=True,
    )
    [submitted] = stage.fal.requests.values()
    assert submitted.endpoint == "fal-ai/gpt-image-1.5"
    assert submitted.shown == {
        "prompt": "a fox",
        "image_size": "1024x1536",
        "quality": "high",
        "num_images": 2,
        "background": "transparent",
        "output_format": "webp",
    }
    assert "GPT Image 1.5 · 2 pictures · portrait · high · transparent" in message.content
    assert len(message.attachments) == 2
    for attachment in message.attachments:
        image = image_of(await attachment.read())
        assert attachment.is_spoiler()
        assert attachment.description == "a fox"
        assert (image.format, image.size, image.mode) == ("WEBP", (1024, 1536), "RGBA")


@pytest.mark.parametrize(("size", "pixels"), [("square", (1024, 1024)), ("landscape", (1536, 1024))])
async def test_each_size_and_format(stage: Stage, size: str, pixels: tuple[int, int]) -> None:
    for kind, found in (("png", "PNG"), ("jpeg", "JPEG")):
        message = await imagine(stage, stage.nora, size=size, format=kind)
        image = image_of(await message.attachments[0].read())
        assert (image.format, image.size) == (found, pixels)


async def test_the_card_is_public_and_shows_the_price_and_the_allowance(stage: Stage) -> None:
    result = await stage.nora.slash(stage.channel, "imagine", prompt="a fox", quality="low", count=3)
    card = initial_response(stage.env)
    assert not card.get("flags", 0) & EPHEMERAL
    assert card["content"] == (
        "🎨 **Painting:** a fox\n"
        "-# GPT Image 2.5 Flare · 3 pictures · low\n"
        "Queued, next in line · at most $0.021 · 7 of 10 left today"
    )
    message = await stage.picture()
    assert message.content == (
        f"{stage.nora.mention} a fox\n"
        "-# GPT Image 2.5 Flare · 3 pictures · low · $0.018 · reply with @Easel #2 to change the second"
    )
    assert labels(message) == ["Edit", "Delete"]
    assert result.response is None, "the card went when the pictures came"


async def test_a_result_notifies_its_member_alone(stage: Stage) -> None:
    prompt = f"@everyone **loud** {stage.theo.mention} <@&{stage.members.id}>\n# big `code` [a](https://b.c)"
    message = await imagine(stage, stage.nora, prompt)
    assert notified(stage, message) == {stage.nora.id}
    assert message.content.startswith(
        rf"{stage.nora.mention} \@everyone \*\*loud\*\* \<\@{stage.theo.id}> \<\@&{stage.members.id}>"
    )
    assert message.attachments[0].description == prompt
    [sent] = [
        call for call in stage.env.http_requests if call.method == "POST" and call.path.endswith("/messages")
    ]
    assert sent.json is not None
    assert sent.json["allowed_mentions"] == {"parse": [], "users": [stage.nora.id]}


async def test_a_very_long_prompt_is_shown_whole(stage: Stage) -> None:
    prompt = "a fox, " * 500
    message = await imagine(stage, stage.nora, prompt.strip())
    assert message.embeds[0].description == prompt.strip()
    assert message.attachments[0].description is not None
    assert len(message.attachments[0].description) <= 1024


# What is left


async def test_quota_counts_what_is_reserved_and_what_is_spent(stage: Stage) -> None:
    stage.fal.faults.set("slow_run", seconds=0.6)
    await stage.nora.slash(stage.channel, "imagine", prompt="a fox", count=2)
    shown = await quota(stage, stage.nora)
    assert (shown.left, shown.spent, shown.reserved, shown.granted) == (8, 0, 2, 0)
    await stage.picture()
    after = await quota(stage, stage.nora)
    assert (after.left, after.spent, after.reserved) == (8, 2, 0)
    assert after.limit == "10 pictures per day for everyone"
    assert after.starts_anew == f"<t:{MIDNIGHT}:f> (<t:{MIDNIGHT}:R>)"
    assert (await quota(stage, stage.theo)).left == 10


async def test_three_of_four_pictures_are_charged_as_three(stage: Stage) -> None:
    stage.fal.faults.set("fewer_pictures", times=1)
    message = await imagine(stage, stage.nora, count=4)
    assert len(message.attachments) == 3
    assert (await quota(stage, stage.nora)).spent == 3


# Jobs, Cancel, Delete


async def test_jobs_shows_running_and_recent_jobs_and_cancels(stage: Stage) -> None:
    nothing = await stage.nora.slash(stage.channel, "jobs")
    assert private_reply(nothing) == "You have no pictures yet. Type /imagine to paint one."
    message = await imagine(stage, stage.nora, "a boat")
    stage.fal.faults.set("slow_run", seconds=30)
    await stage.nora.slash(stage.channel, "imagine", prompt="a fox")
    listed = await stage.nora.slash(stage.channel, "jobs")
    assert listed.response is not None
    first, second = private_reply(listed).splitlines()[1:]
    assert re.fullmatch(r"1\. a fox · (waiting|painting) · <t:\d+:R>", first)
    assert second.startswith("2. a boat · 1 picture, $0.014 · <t:")
    assert second.endswith(f"[see it]({message.jump_url})")
    assert labels(listed.response.message) == ["Cancel 1"]
    assert "stop" in private_reply(await stage.nora.click(listed.response, label="Cancel 1"))
    await stage.idle()
    assert "1. a fox · cancelled, nothing charged" in private_reply(await stage.nora.slash(stage.channel, "jobs"))
    assert private_reply(await stage.theo.slash(stage.channel, "jobs")).startswith("You have no pictures")


async def test_cancel_on_the_card_is_for_its_member_and_releases_the_reservation(stage: Stage) -> None:
    stage.fal.faults.set("slow_run", seconds=30)
    result = await stage.nora.slash(stage.channel, "imagine", prompt="a fox", count=4)
    assert result.response is not None
    await stage.until(lambda: len(stage.fal.requests) == 1)
    assert "can cancel it" in private_reply(await stage.theo.click(result.response, label="Cancel"))
    pressed = await stage.nora.click(result.response, label="Cancel")
    assert pressed.ephemeral
    await stage.idle()
    assert stage.cards() == stage.pictures() == []
    assert (await quota(stage, stage.nora)).left == 10
    [submitted] = stage.fal.requests.values()
    assert submitted.cancelled


async def test_a_moderator_may_cancel(stage: Stage) -> None:
    stage.fal.faults.set("slow_run", seconds=30)
    result = await stage.nora.slash(stage.channel, "imagine", prompt="a fox")
    assert result.response is not None
    assert (await stage.mika.click(result.response, label="Cancel")).ephemeral
    await stage.idle()
    assert (await quota(stage, stage.nora)).left == 10


async def test_delete_is_for_the_member_and_for_moderators(stage: Stage) -> None:
    first, second = await imagine(stage, stage.nora, "a fox"), await imagine(stage, stage.nora, "a boat")
    assert "can delete it" in private_reply(await stage.theo.click(first, label="Delete"))
    assert len(stage.pictures()) == 2
    await stage.nora.click(first, label="Delete")
    assert [item.id for item in stage.pictures()] == [second.id]
    await stage.mika.click(second, label="Delete")
    assert stage.pictures() == []
    assert (await quota(stage, stage.nora)).spent == 2, "a deleted picture stays charged"


# What may go wrong: the prompt, the picture, the quota, the service


@pytest.mark.parametrize(
    ("prompt", "fault", "sentence"),
    [
        ("a forbidden thing", None, "The image service will not paint this prompt. Try to say it differently."),
        ("a fox", {"name": "model_error"}, "The image service could not paint this. Try to say it differently."),
        ("a fox", {"name": "run_error"}, "The image service failed while painting. Asking again may work."),
        (
            "a fox",
            {"name": "not_a_picture"},
            "The image service sent something that is not a usable picture. Asking again may work.",
        ),
        ("a fox", {"name": "model_gone"}, "The image service no longer offers this model."),
    ],
    ids=["prompt", "nothing", "run", "answer", "model"],
)
async def test_a_failure_is_shown_to_its_member_alone_and_costs_nothing(
    tmp_path: Path, prompt: str, fault: dict[str, Any] | None, sentence: str
) -> None:
    async with open_test_stage(tmp_path) as stage:
        if fault:
            stage.fal.faults.set(**fault)
        result = await stage.nora.slash(stage.channel, "imagine", prompt=prompt)
        assert await private_followup(stage, result) == f"{sentence} Nothing was charged."
        assert stage.channel.history(viewer=stage.theo) == []
        assert (await quota(stage, stage.nora)).left == 10


async def test_an_empty_balance_at_the_provider_is_logged_for_the_operator(tmp_path: Path) -> None:
    async with open_test_stage(tmp_path, expected=["a service needs its operator"]) as stage:
        stage.fal.faults.set("locked")
        result = await stage.nora.slash(stage.channel, "imagine", prompt="a fox")
        assert "Its operator has been told. Nothing was charged." in await private_followup(stage, result)


async def test_a_file_that_is_no_picture_is_refused_privately(stage: Stage) -> None:
    image = ("notes.png", b"this is no picture at all")
    result = await stage.nora.slash(stage.channel, "edit", prompt="make it snow", image=image)
    assert "notes.png" in await private_followup(stage, result)
    shown = await stage.nora.slash(stage.channel, "edit", prompt="x", image=("notes.txt", b"text"))
    assert private_reply(shown) == "notes.txt is not a picture. Send a PNG, JPEG or WebP. Nothing was charged."
    assert (await quota(stage, stage.nora)).left == 10
    assert stage.fal.submits == 0


async def test_a_request_over_the_limit_is_refused_privately_before_any_submit(stage: Stage) -> None:
    await stage.mika.slash(stage.channel, "moderate limit", images=1, per="day")
    result = await stage.nora.slash(stage.channel, "imagine", prompt="a fox", count=2)
    assert private_reply(result) == (
        "You asked for 2 pictures and have 1 left. "
        f"The limit is 1 picture per day for everyone. "
        f"You get more <t:{MIDNIGHT}:R>, or ask a moderator. Nothing was charged."
    )
    assert stage.fal.submits == 0


async def test_a_request_that_the_model_cannot_do_is_refused_privately(stage: Stage) -> None:
    options = {"background": "transparent", "format": "jpeg"}
    reply = private_reply(await stage.nora.slash(stage.channel, "imagine", prompt="a fox", **options))
    assert "PNG or WebP" in reply
    reply = private_reply(await stage.nora.slash(stage.channel, "imagine", prompt="a fox", model="dall-e-3"))
    assert reply.endswith("Nothing was charged.")


async def test_where_easel_may_not_post_there_is_no_submit(stage: Stage) -> None:
    bot = stage.env.bot.user
    assert bot is not None
    closed = discord.PermissionOverwrite(attach_files=False)
    locked = stage.guild.create_text_channel("locked", overwrites={bot: closed})
    reply = private_reply(await stage.nora.slash(locked, "imagine", prompt="a fox"))
    assert reply.startswith("Easel may not post pictures here. Ask a moderator to give it: Attach Files.")
    assert stage.fal.submits == 0


# After a restart


async def test_buttons_outlive_a_restart(stage: Stage) -> None:
    message = await imagine(stage, stage.nora)
    form = await stage.nora.click(message, label="Edit")
    await stage.restart()
    await stage.nora.submit_modal(form, {"prompt": "make it night"})
    assert (await job(stage, await stage.picture(2))).requester.user_id == stage.nora.id
    form = await stage.theo.click(message, label="Edit")
    await stage.theo.submit_modal(form, {"prompt": "make it snow"})
    edited = await stage.picture(3)
    assert (await job(stage, edited)).requester.user_id == stage.theo.id
    await stage.nora.click(message, label="Delete")
    assert [item.id for item in stage.pictures()][1:] == [edited.id]


async def test_a_job_goes_on_after_a_restart_and_can_still_be_cancelled(stage: Stage) -> None:
    stage.fal.faults.set("slow_run", seconds=1.5)
    await stage.nora.slash(stage.channel, "imagine", prompt="a fox")
    boat = await stage.theo.slash(stage.channel, "imagine", prompt="a boat")
    await stage.until(
        lambda: sum(bool(submitted.counts["stream"]) for submitted in stage.fal.requests.values()) == 2
    )
    await stage.restart()
    assert boat.response is not None
    await stage.theo.click(boat.response, label="Cancel")
    message = await stage.picture()
    assert message.mentions[0].id == stage.nora.id
    assert stage.fal.submits == 2, "each was submitted once"
    assert len(stage.pictures()) == 1
    assert (await job(stage, message)).state is JobState.DONE
    assert (await quota(stage, stage.theo)).left == 10


async def test_discord_refuses_options_out_of_range_before_easel_sees_them(stage: Stage) -> None:
    for options in ({"prompt": ""}, {"prompt": "a fox", "count": 11}, {"prompt": "a fox", "quality": "8k"}, {}):
        with pytest.raises(simcord.SetupError):
            await stage.nora.slash(stage.channel, "imagine", **options)
    image = ("a.png", picture_file())
    with pytest.raises(simcord.SetupError):
        await stage.nora.slash(stage.channel, "edit", image=image)
