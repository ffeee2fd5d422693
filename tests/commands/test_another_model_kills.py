"""The button for another model, pressed while processes are killed: painted and charged once."""

from __future__ import annotations

import asyncio

from bot.sandbox.discord.server import Upload
from tests.commands.test_another_model import BOT, MODELS, failure
from tests.support.picture_files import png
from tests.support.waiting import wait_until
from tests.support.world.discord_members import Quota
from tests.support.world.stored_jobs import CHARGED
from tests.support.world.world import World


async def test_presses_that_processes_die_of_become_one_picture(world: World) -> None:
    async with world.bot(**BOT):
        world.fal.faults.set("submit_rate_limited", retry_after="0.1")
        failed = await world.edit("make it snow", mask=Upload("mask.png", png(64, 64, (0, 0, 0, 0), "RGBA")))
        message = await failure(world, failed)
        world.fal.faults.clear()
    await world.discord.expire_links()
    world.fal.faults.set("slow_run", seconds=1.0)
    for delay in (0.0, 0.02, 0.1):
        async with world.connected_process(**MODELS) as bot:
            await world.press(message, "retry")
            await asyncio.sleep(delay)
            await bot.kill()
    async with world.connected_process(**MODELS), world.connected_process(**MODELS) as bot:
        await world.press(message, "retry")
        [done] = await wait_until(lambda: world.rows("SELECT id FROM jobs WHERE state = 'done'"), 20)
        await world.result_message(done["id"])
        assert await world.quota() == Quota(left=9, spent=1, reserved=0)
    assert sorted(row["state"] for row in world.rows("SELECT state FROM jobs")) == ["done", "failed"]
    assert len(await world.result_messages()) == 1
    assert world.ledger_images(done["id"]) == CHARGED
    assert world.rows("SELECT 1 FROM spool") == []
