"""Sessions, intents, user installs, and bursts."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from bot.sandbox.discord.server import DiscordSandbox, Settings
from tests.support.sandbox.discord import RunningBot


async def test_a_reset_gateway_connection_is_resumed_without_losing_events(running: RunningBot) -> None:
    assert await running.discord.disconnect_gateway(0) == 1
    await running.discord.wait_disconnected()
    await running.discord.post_message(running.ann, running.channel, "hello", mentions=[running.discord.bot_id])
    assert (await running.heard()).content.endswith("hello")
    report = await running.discord.report()
    assert (report["identifies"], report["resumes"]) == (1, 1)


async def test_an_interaction_without_a_connection_is_delivered_on_resume(running: RunningBot) -> None:
    await running.discord.disconnect_gateway(0)
    await running.discord.wait_disconnected()
    asked = await running.discord.slash(running.ann, running.channel, "whisper")
    assert (await running.discord.interaction(asked))["delivered"] == 0
    assert (await running.discord.answer(asked))["type"] == 5


async def test_an_invalid_session_is_identified_anew(running: RunningBot) -> None:
    await running.discord.invalidate_sessions()
    await running.discord.wait_connected(identifies=2)
    await running.discord.post_message(running.ann, running.channel, mentions=[running.discord.bot_id])
    await running.heard()
    report = await running.discord.report()
    assert (report["identifies"], report["resumes"]) == (2, 0)


async def test_privileged_intents_are_refused(sandbox: DiscordSandbox) -> None:
    bot = discord.Client(intents=discord.Intents(guilds=True, message_content=True))
    async with bot:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await bot.start("token")


async def test_a_wrong_token_is_refused() -> None:
    async with DiscordSandbox(settings=Settings(token="right")) as sandbox, aiohttp.ClientSession() as session:
        for token, status in (("right", 200), ("wrong", 401)):
            headers = {"Authorization": f"Bot {token}"}
            async with session.get(f"{sandbox.api_url}/users/@me", headers=headers) as response:
                assert response.status == status
                assert response.headers["Content-Type"] == "application/json"
        assert sandbox.violations  # aiohttp's own user agent is not a bot's


async def test_a_guild_without_the_bot_can_use_it_by_user_install(running: RunningBot) -> None:
    elsewhere = await running.discord.create_guild("elsewhere", with_bot=False)
    channel = await running.discord.create_channel(elsewhere)
    ben = await running.discord.create_member(elsewhere, "ben")
    asked = await running.discord.slash(ben, channel, "whisper")
    assert (await running.discord.answer(asked))["ephemeral"]
    payload = (await running.discord.interaction(asked))["payload"]
    assert payload["authorizing_integration_owners"] == {"1": str(ben)}
    with pytest.raises(discord.Forbidden, match="50001"):
        await running.bot.get_partial_messageable(channel).send("hello")


async def test_a_burst_is_timed_from_event_to_result(running: RunningBot) -> None:
    ben = await running.discord.create_member(running.guild, "ben")
    await running.discord.configure(discard_files=True)
    spec = {"kind": "slash", "channel": running.channel, "command": "paint", "options": {"prompt": "cat {i}"}}
    report = await running.discord.burst(spec, 10, members=[running.ann, ben], within=5)
    assert report["ack"]["count"] == report["result"]["count"] == 10
    assert report["ack"]["missing"] == 0
    assert [record["member"] for record in report["records"]] == [running.ann, ben] * 5
    assert all(0 < record["ack_ms"] <= record["result_ms"] for record in report["records"])
    contents = {message["content"] for message in await running.discord.messages(running.channel)}
    assert {f"queued cat {number}" for number in range(10)} <= contents
