"""The stand-in as its own process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import pytest

from bot.sandbox.discord.server import ControlError, DiscordControl, Upload
from tests.support.sandbox.discord import png


async def test_its_own_process_is_controlled_over_http() -> None:
    command = (sys.executable, "-m", "bot.sandbox.discord", "--port", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 10))
    async with DiscordControl(addresses["base_url"]) as control:
        guild = await control.create_guild()
        channel = await control.create_channel(guild)
        ann = await control.create_member(guild, "ann")
        await control.post_message(ann, channel, "hello", attachments=[Upload("a.png", png(9, 9))])
        [message] = await control.messages(channel)
        assert (message["content"], message["attachments"][0]["width"]) == ("hello", 9)
        with pytest.raises(ControlError, match="no command 'paint'"):
            await control.slash(ann, channel, "paint")
        with pytest.raises(TimeoutError):
            await control.wait_for_message(channel, lambda m: m["content"] == "bye", within=0.05)
        assert (await control.info())["bot_id"] == addresses["application_id"]
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
