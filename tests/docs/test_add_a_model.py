"""docs/add-a-model.md, followed step by step: its commands print what it shows, and its model paints."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any, get_args

import pytest

from bot.catalog.schema import Option
from bot.catalog.sizing import Way
from bot.sandbox.discord.server import Upload
from tests.catalog.test_json_schema import mistakes
from tests.support.docs_steps import Command, Step, steps_and_commands
from tests.support.picture_files import png
from tests.support.world.world import ROOT, World

PAGE = (ROOT / "docs" / "add-a-model.md").read_text(encoding="utf-8")
MODEL = "qwen-image-2"
WITHIN = 30.0


@pytest.fixture
def folder(world: World) -> Path:
    """An operator's folder: a `.env` that works, and `.venv/bin/python`."""
    folder = world.folder / "easel"
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    settings = world.environment(DEFAULT_MODEL=None)
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (folder / ".env").write_text("".join(lines), encoding="utf-8")
    return folder


async def printed(folder: Path, command: str) -> str:
    """What a command prints in that folder, mistakes and all."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(WITHIN):
        output, _ = await process.communicate()
    return output.decode()


async def follow(folder: Path) -> None:
    """Do everything that the page says, and compare."""
    for number, each in enumerate(steps_and_commands(PAGE)):
        match each:
            case Step():
                each.carry_out(folder)
            case Command():
                assert await printed(folder, each.line) == each.output, f"step {number}: {each.line}"


def test_every_block_that_names_a_file_or_a_command_is_a_step() -> None:
    found = steps_and_commands(PAGE)
    files = re.findall(r"^\*\*(?:New file|In)\*\* ", PAGE, re.MULTILINE)
    commands = re.findall(r"^\$ ", PAGE, re.MULTILINE)
    assert (sum(isinstance(each, Step) for each in found), len(found)) == (len(files), len(files) + len(commands))


def test_the_page_explains_every_option_and_every_way() -> None:
    for word in (*get_args(Option), *get_args(Way)):
        assert f"`{word}`" in PAGE


def test_an_editor_accepts_the_pages_files_and_underlines_the_mistaken_one() -> None:
    for each in steps_and_commands(PAGE):
        if isinstance(each, Step) and each.path.endswith(".toml"):
            assert bool(mistakes(each.block)) == (each.path == "mistaken.toml"), each.path


async def test_the_page_adds_a_model_that_paints_and_edits_at_its_price(world: World, folder: Path) -> None:
    await follow(folder)
    settings = dict(line.split("=", 1) for line in (folder / ".env").read_text("utf-8").splitlines() if line)
    files = ",".join(str(folder / name) for name in settings["CATALOG_FILES"].split(","))
    picture: dict[str, Any] = {"image": Upload("boat.png", png(640, 480))}
    async with world.bot(CATALOG_FILES=files, DEFAULT_MODEL=""):
        unnamed = await world.paint("a fox in the snow", quality="medium")
        seeded = await world.paint("a fox", model=MODEL, size="16:9", quality="medium", seed=7, count=2)
        edited = await world.result_message(
            await world.edit("make it snow", model=MODEL, quality="medium", **picture)
        )
        refused = await world.refusal(await world.imagine(model=MODEL, quality="medium", background="transparent"))
        dearer = await world.refusal(await world.imagine(model=MODEL, quality="high"))
        gone = await world.refusal(await world.imagine(model="gpt-image-1"))
    for message, price in ((unnamed, "$0.035"), (seeded, "$0.07"), (edited, "$0.035")):
        assert "Qwen Image 2 · " in message["content"]
        assert f" · {price} · " in message["content"]
    assert "has no high quality. Choose GPT Image 2.5 Flare" in dearer
    assert "seed 7" in seeded["content"]
    assert [picture.size for picture in await world.download_pictures(seeded)] == [(1360, 768)] * 2
    assert [picture.size for picture in await world.download_pictures(edited)] == [(640, 480)]
    assert "GPT Image 2.5 Flare" in refused
    assert "gpt-image-1" in gone
    endpoints = {request.endpoint for request in world.fal.requests.values()}
    assert endpoints == {"fal-ai/qwen-image-2/text-to-image", "fal-ai/qwen-image-2/edit"}
