"""The structure of all cogs: what Discord would refuse, and what would be missing without an error."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.chat.discord.client import Easel, cog_modules
from bot.chat.discord.messages.buttons import (
    VERBS,
    cancel_button,
    custom_id,
    delete_button,
    edit_button,
    retry_button,
)
from bot.domain.choices import AlternativeModel
from bot.domain.money import Money
from bot.storage.sqlite import open_sqlite
from cogs.buttons import BUTTONS, JobButton

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[a-z0-9_-]{1,32}")
"""Discord's docs, Application Commands, Naming; what is left of it in plain English."""
TEXT = re.compile(r"[A-Z/a-z0-9][ -~]{0,98}[.]")
"""A description: one line of at most 100 plain characters that ends like a sentence."""
MAX_OPTIONS = MAX_CHOICES = MAX_SUBCOMMANDS = 25
MAX_COMMAND = 8000
"""Characters of all the names, descriptions and values of one command."""

Command = app_commands.Command[Any, ..., Any]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Easel]:
    """Easel with its cogs, before it logs in."""
    async with aclosing(await open_sqlite(tmp_path / "easel.db", 0)) as database:
        easel = Easel(database=database)
        await easel.load_cogs()
        yield easel
        for name in cog_modules():
            await easel.unload_extension(name)


def slash_commands(client: Easel) -> Iterator[Command]:
    """Every command that a member can type, subcommands too."""
    for command in client.tree.walk_commands():
        if isinstance(command, app_commands.Command):
            yield command


def test_every_module_with_a_setup_is_found() -> None:
    with_setup = {
        f"cogs.{path.stem}"
        for path in ROOT.glob("cogs/*.py")
        if re.search(r"^async def setup\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert set(cog_modules()) == with_setup


async def test_each_module_adds_one_cog_and_leaves_nothing_behind(client: Easel) -> None:
    assert sorted(client.extensions) == cog_modules()
    assert {cog.__module__ for cog in client.cogs.values()} == set(cog_modules())
    for name in cog_modules():
        await client.unload_extension(name)
    assert client.tree.get_commands() == []
    assert client.cogs == {}
    await client.load_cogs()


async def test_no_two_commands_share_a_name(client: Easel) -> None:
    names = Counter(
        [(command.type, command.name) for command in client.tree.get_commands() if hasattr(command, "type")]
        + [("slash", command.qualified_name) for command in slash_commands(client)]
    )
    assert [name for name, count in names.items() if count > 1] == []
    assert {name for kind, name in names if kind == "slash"} >= {"imagine", "edit", "jobs", "quota"}


async def test_every_command_and_option_is_named_and_described_as_discord_takes_it(client: Easel) -> None:
    for command in slash_commands(client):
        assert NAME.fullmatch(command.name), command.qualified_name
        assert TEXT.fullmatch(command.description), command.qualified_name
        for option in command.parameters:
            assert NAME.fullmatch(option.display_name), (command.qualified_name, option.name)
            assert TEXT.fullmatch(str(option.description)), (command.qualified_name, option.name)
    for group in client.tree.get_commands(type=discord.AppCommandType.chat_input):
        assert TEXT.fullmatch(group.description), group.name


async def test_every_command_is_within_discords_limits(client: Easel) -> None:
    for command in client.tree.get_commands():
        payload = command.to_dict(client.tree)
        assert characters(payload) <= MAX_COMMAND, command.name
        assert len(payload.get("options", ())) <= MAX_SUBCOMMANDS, command.name
    for command in slash_commands(client):
        options = command.to_dict(client.tree)["options"]
        assert len(options) <= MAX_OPTIONS
        assert all(len(option.get("choices", ())) <= MAX_CHOICES for option in options)
        required = [bool(option.get("required")) for option in options]
        assert required == sorted(required, reverse=True), f"{command.name}: required options come first"


async def test_commands_are_for_servers_only(client: Easel) -> None:
    for command in client.tree.get_commands():
        assert command.guild_only, command.name


def characters(payload: object) -> int:
    """Discord's count of a command: its names, descriptions and values, its options' too."""
    if isinstance(payload, dict):
        own = sum(len(str(payload[key])) for key in ("name", "description", "value") if payload.get(key))
        return own + sum(characters(value) for value in payload.values() if isinstance(value, list))
    return sum(characters(item) for item in payload) if isinstance(payload, list) else 0


def test_every_verb_of_a_button_has_a_class_that_takes_its_custom_ids() -> None:
    assert tuple(sorted(BUTTONS)) == tuple(sorted(VERBS))
    assert set(JobButton.__subclasses__()) >= set(BUTTONS.values())
    for verb, button in BUTTONS.items():
        taking = [
            other
            for other in BUTTONS.values()
            if other.__discord_ui_compiled_template__.fullmatch(custom_id(verb, 9 * 10**18 - 1))
        ]
        assert taking == [button]


def test_messages_send_buttons_of_known_verbs_only() -> None:
    other = AlternativeModel(name="brush", label="Brush" * 40, price=Money(80_000))
    sent = [cancel_button(1), edit_button(1), delete_button(1), retry_button(1, other)]
    assert all(len(str(button.label)) <= 80 for button in sent)
    assert str(sent[-1].label).endswith("… · $0.08")
    assert sorted(str(button.custom_id) for button in sent) == sorted(custom_id(verb, 1) for verb in VERBS)
