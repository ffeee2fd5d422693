"""The redirection of discord.py, the permissions of the invite link, and how many refusals are remembered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import discord
import pytest
import yarl

from bot.chat.discord.client import PERMISSIONS, invite_link, redirect
from bot.chat.discord.public_refusals import MAX_REMEMBERED, PublicRefusals
from bot.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def addresses() -> Iterator[None]:
    base, gateway = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    yield
    discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@pytest.mark.usefixtures("addresses")
def test_both_addresses_of_discord_can_be_redirected() -> None:
    redirect("http://127.0.0.1:8001/api/v10/", "ws://127.0.0.1:8002/")
    assert discord.http.Route("GET", "/users/@me").url == "http://127.0.0.1:8001/api/v10/users/@me"
    assert yarl.URL("ws://127.0.0.1:8002/") == discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY


@pytest.mark.usefixtures("addresses")
def test_the_defaults_are_discords_own_addresses() -> None:
    base, gateway = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    fields = Settings.model_fields
    redirect(fields["discord_api_url"].default, fields["discord_gateway_url"].default)
    assert (base, gateway) == (discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY)


def test_one_file_of_the_bot_redirects_discord() -> None:
    sources = [*ROOT.glob("bot/**/*.py"), *ROOT.glob("cogs/*.py")]
    redirecting = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(r"Route\.BASE =|DEFAULT_GATEWAY =", path.read_text(encoding="utf-8"))
    }
    assert redirecting == {"bot/chat/discord/client.py"}


def test_the_readme_shows_the_invite_link_that_easel_prints() -> None:
    shown = f"scope=bot+applications.commands&permissions={PERMISSIONS.value}"
    assert shown in invite_link(1)
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")


def test_public_refusals_are_remembered_for_a_bounded_number_of_members() -> None:
    now = 0.0
    refusals = PublicRefusals(channel_seconds=0, now=lambda: now)
    assert [refusals.may_speak(1, 2), refusals.may_speak(1, 2), refusals.may_speak(1, 3)] == [True, False, True]
    now = 61.0
    assert refusals.may_speak(1, 2)
    for member in range(2 * MAX_REMEMBERED):
        refusals.may_speak(1, member)
    assert len(refusals._last) == MAX_REMEMBERED
