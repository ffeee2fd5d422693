"""After a failure of every service that has the model: the same request with another model, by a button."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from bot.domain.clock import Clock, real_time
from bot.sandbox.discord.server import Upload
from bot.storage.retries import OFFERED_FOR, UPLOADS_KEPT
from bot.worker.provider_refresh import refresh
from tests.support.picture_files import png
from tests.support.waiting import wait_until
from tests.support.world.discord_members import Message, Quota
from tests.support.world.stored_jobs import CHARGED, RELEASED
from tests.support.world.world import FAST_RETRIES, World

IMPATIENT = replace(FAST_RETRIES, submit=0.3)
MODELS: dict[str, Any] = {"MODELS": "gpt-image-2,gpt-image-1.5,gpt-image-1"}
BOT: dict[str, Any] = {**MODELS, "retry_policy": IMPATIENT}
"""A bot that soon says that no service takes the work."""
WHOLE = Quota(left=10, spent=0, reserved=0)
BUSY = "The image service is busy or does not answer. Nothing was charged."


async def failure(world: World, job: int) -> Message:
    """The private message that says why a job failed."""
    await world.private_failure(job, within=12)
    await world.wait_finished(job)
    return dict((await world.discord.ephemeral(job))[-1])


def offered(message: Message) -> list[str]:
    """The labels of a message's buttons."""
    return [item["label"] for row in message["components"] for item in row["components"]]


async def failed_everywhere(world: World, **options: Any) -> Message:
    """`/imagine` while fal takes nothing; the message that says so. Then fal is well again."""
    world.fal.faults.set("submit_rate_limited", retry_after="0.1")
    message = await failure(world, await world.imagine(**options))
    world.fal.faults.clear()
    return message


async def test_the_same_request_is_painted_by_the_model_on_the_button(world: World) -> None:
    async with world.bot(**BOT):
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        failed = await world.imagine("a red boat", size="square", count=2, spoiler=True)
        message = await failure(world, failed)
        assert message["content"] == BUSY
        assert offered(message) == ["Paint with GPT Image 2 · $0.014"]
        assert await world.quota() == WHOLE
        world.fal.faults.clear()
        job = await world.press(message, "retry")
        card = await world.card(job)
        assert "GPT Image 2 · 2 pictures · square · low" in card["content"]
        assert "at most $0.014 ·" in card["content"]
        result = await world.result_message(job)
        await world.wait_finished(job)
        assert "a red boat" in result["content"]
        assert [each["filename"].startswith("SPOILER_") for each in result["attachments"]] == [True, True]
        assert await world.quota() == Quota(left=8, spent=2, reserved=0)
        await world.wait_card_deleted(job)
    assert job != failed
    assert set(world.ledger_images(failed)) == set(RELEASED)
    assert '"model":"gpt-image-2"' in world.job(job)["request"]


async def test_a_double_click_paints_once_and_a_later_press_says_so(world: World) -> None:
    async with world.bot(**BOT, DEFAULT_QUOTA="1/day"):
        message = await failed_everywhere(world)
        world.fal.faults.set("slow_run", seconds=0.5)
        presses = await asyncio.gather(world.press(message, "retry"), world.press(message, "retry"))
        answers = {press: await world.discord.answer(press) for press in presses}
        [refused] = [press for press in presses if answers[press]["ephemeral"]]
        [job] = [press for press in presses if press != refused]
        assert await world.refusal(refused) == "GPT Image 2 is painting this already. Nothing was charged."
        await world.assert_one_picture(job)
        again = await world.refusal(await world.press(message, "retry"))
        assert again.startswith("You have asked GPT Image 2 for this before. Type /imagine or /edit to ask once")
        assert await world.quota() == Quota(left=0, spent=1, reserved=0)


async def test_the_button_outlives_a_restart_and_a_second_process(world: World) -> None:
    async with world.bot(**BOT):
        message = await failed_everywhere(world)
    async with world.bot(**BOT), world.bot(**BOT):
        # Both processes get each press, as at a change of the process.
        presses = [await world.press(message, "retry") for _ in range(2)]
        await asyncio.gather(*(world.discord.answer(press) for press in presses))
        await wait_until(lambda: world.rows("SELECT 1 FROM jobs WHERE state = 'done'"))
        assert (await world.quota()).spent == 1
    assert len(world.rows("SELECT 1 FROM jobs")) == 2


async def test_an_uploaded_picture_and_its_mask_need_not_be_uploaded_again(world: World) -> None:
    mask = Upload("mask.png", png(64, 64, (0, 0, 0, 0), "RGBA"))
    async with world.bot(**BOT):
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        failed = await world.edit("make it snow", mask=mask)
        message = await failure(world, failed)
        assert len(world.rows("SELECT DISTINCT number FROM spool WHERE job_id = ?", failed)) == 2
        world.fal.faults.clear()
        await world.discord.expire_links()
        job = await world.press(message, "retry")
        await world.assert_one_picture(job)
        [submitted] = world.fal.requests.values()
        assert submitted.endpoint == "openai/gpt-image-2/edit"
        assert {"image_urls", "mask_url"} <= set(submitted.shown)
    assert world.rows("SELECT 1 FROM spool") == []


async def test_uploads_are_kept_for_some_minutes_only_and_then_asked_for_again(world: World) -> None:
    ahead = 0
    async with world.bot(clock=Clock(now=lambda: real_time() + ahead), **BOT):
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        message = await failure(world, await world.edit())
        ahead = int(UPLOADS_KEPT * 1000)
        await wait_until(lambda: not world.rows("SELECT 1 FROM spool"), 8)
        assert await world.refusal(await world.press(message, "retry")) == (
            "Easel no longer has what you uploaded. Upload it again with /edit. Nothing was charged."
        )
        ahead = int(OFFERED_FOR * 1000)
        assert "too long ago" in await world.private_reply(await world.press(message, "retry"))
        assert await world.quota() == WHOLE


async def test_a_public_notice_has_the_button_for_its_member_alone(world: World) -> None:
    other = await world.discord.create_member(world.guild, "other")
    boss = await world.create_moderator()
    async with world.bot(**BOT):
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        asked = await world.discord.post_message(
            world.member,
            world.channel,
            f"<@{world.discord.bot_id}> make it snow",
            attachments=[Upload("boat.png", png())],
        )
        await world.wait_finished(asked)
        notice = await world.discord.wait_for_message(world.channel, lambda seen: BUSY in seen["content"])
        [label] = offered(notice)
        assert label.startswith("Paint with GPT Image 2 · $0.")
        world.fal.faults.clear()
        for stranger in (other, boss):
            refused = await world.private_reply(await world.press(notice, "retry", member=stranger))
            assert (
                refused
                == "Only the one who asked for this can ask for it again. Type /imagine for one of your own."
            )
        job = await world.press(notice, "retry")
        await world.result_message(job)  # of the picture in the message, whose link was not stored whole
        assert await world.wait_finished(job) == "done"
        assert await world.quota(other) == WHOLE


async def test_a_notice_that_comes_too_late_to_be_private_has_the_button_too(world: World) -> None:
    world.fal.faults.set("submit_rate_limited", retry_after="0.1")
    async with world.bot(**BOT):
        job = await world.imagine()
        await world.card(job)
        await world.discord.expire_tokens(job)
        notice = await world.discord.wait_for_message(world.channel, lambda seen: BUSY in seen["content"])
        world.fal.faults.clear()
        retried = await world.press(notice, "retry")
        await world.result_message(retried)
        assert await world.wait_finished(retried) == "done"


async def test_a_source_that_was_deleted_meanwhile_is_said_and_costs_nothing(world: World) -> None:
    async with world.bot(**BOT):
        picture = await world.paint()
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        mention = f"<@{world.discord.bot_id}> make it snow"
        asked = await world.discord.post_message(world.member, world.channel, mention, reply_to=int(picture["id"]))
        await world.wait_finished(asked)
        notice = await world.discord.wait_for_message(world.channel, lambda seen: BUSY in seen["content"])
        world.fal.faults.clear()
        await world.press(picture, "delete")
        await world.wait_deleted(str(picture["id"]))
        job = await world.press(notice, "retry")
        assert "is gone. Send the picture again. Nothing was charged." in await world.private_failure(job)
        assert await world.wait_finished(job) == "failed"
        assert (await world.quota()).spent == 1


async def test_a_model_that_was_switched_off_meanwhile_is_refused_with_those_that_are_left(world: World) -> None:
    boss = await world.create_moderator()
    async with world.bot(**BOT):
        message = await failed_everywhere(world)
        await world.moderate(boss, "model", model="gpt-image-2", services="off")
        refused = await world.refusal(await world.press(message, "retry"))
        assert refused.startswith("GPT Image 2 cannot be had here. Choose GPT Image 1.5 or GPT Image 1.")
        await world.moderate(boss, "model", model="gpt-image-2", services="default")
        job = await world.press(message, "retry")
        await world.assert_one_picture(job)


async def test_a_price_that_rose_meanwhile_is_asked_about_before_it_is_paid(world: World) -> None:
    async with world.bot(MODELS="nano-banana-2,gpt-image-1.5") as app:
        message = await failed_everywhere(world, quality="medium")
        assert offered(message) == ["Paint with Nano Banana 2 · $0.08"]
        world.fal.price_factors = dict.fromkeys(("fal-ai/nano-banana-2", "fal-ai/nano-banana-2/edit"), 2.0)
        await refresh(app.providers, app.router, app.database, app.clock)
        refused = await world.refusal(await world.press(message, "retry"))
        assert (
            refused
            == "This costs more by now: at most $0.16. Press again if that is all right. Nothing was charged."
        )
        assert await world.quota() == WHOLE
        job = await world.press(message, "retry")
        await world.assert_one_picture(job)
        assert world.ledger_micros(job, "settle") == 160_000


async def test_a_press_is_checked_against_what_its_member_has_left(world: World) -> None:
    async with world.bot(**BOT, DEFAULT_QUOTA="2/day"):
        message = await failed_everywhere(world, count=2)
        await world.paint()
        refused = await world.refusal(await world.press(message, "retry"))
        assert refused.startswith("You asked for 2 pictures and have 1 left.")
        assert await world.quota() == Quota(left=1, spent=1, reserved=0)


async def test_only_a_model_that_can_do_the_request_is_offered(world: World) -> None:
    async with world.bot(retry_policy=IMPATIENT, MODELS="nano-banana-2,gpt-image-1.5,gpt-image-1"):
        [other] = offered(await failed_everywhere(world, quality="medium"))
        assert other == "Paint with Nano Banana 2 · $0.08"
        [able] = offered(await failed_everywhere(world, background="transparent"))
        assert able.startswith("Paint with GPT Image 1 · $0.")
    async with world.bot(retry_policy=IMPATIENT, MODELS="nano-banana-2,gpt-image-1.5"):
        assert offered(await failed_everywhere(world, background="transparent")) == []


async def test_a_model_that_every_service_has_switched_off_has_the_button(full_world: World) -> None:
    full_world.fal.faults.set("model_gone", endpoint="fal-ai/gpt-image-1/text-to-image")
    full_world.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1")
    path = full_world.folder / "no-successor.toml"
    path.write_text('[[models]]\nname = "gpt-image-1"\nsuccessors = []\n')
    async with full_world.bot(**BOT, CATALOG_FILES=str(path)):
        job = await full_world.imagine(model="gpt-image-1")
        message = await failure(full_world, job)
        assert message["content"] == "The image service no longer offers this model. Nothing was charged."
        [label] = offered(message)
        assert label.startswith("Paint with GPT Image 2 · $0.0")
        retried = await full_world.press(message, "retry")
        await full_world.assert_one_picture(retried)
    assert full_world.ledger_images(job) == RELEASED
    assert full_world.ledger_images(retried) == CHARGED


async def test_no_other_model_is_offered_where_it_would_not_help(world: World) -> None:
    world.fal.forbidden = ("weapon",)
    async with world.bot(**BOT):
        assert offered(await failure(world, await world.imagine("a weapon"))) == []
        unreadable = Upload("cat.png", b"I am a cat, honestly.")
        assert offered(await failure(world, await world.edit(image=unreadable))) == []
        world.fal.faults.set("model_error")
        assert offered(await failure(world, await world.imagine())) == []
        world.fal.faults.clear()
        world.fal.faults.set("slow_queue", seconds=20)
        job = await world.imagine()
        await world.wait_accepted(job)
        await world.press(await world.card(job), "cancel")
        assert await world.wait_finished(job) == "cancelled"
        for message in await world.discord.ephemeral(job):
            assert offered(message) == []
        world.fal.faults.clear()
        world.fal.faults.set("locked")
        assert offered(await failure(world, await world.imagine())) == [], "the only service lets nothing in"
    assert world.rows("SELECT 1 FROM spool") == []
