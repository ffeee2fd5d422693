"""docs/add-a-provider.md, followed step by step: a fourth provider paints."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.docs_steps import copy_project, steps
from tests.support.world.world import ROOT, World

PAGE = (ROOT / "docs" / "add-a-provider.md").read_text(encoding="utf-8")
WITHIN = 60.0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the project after all steps of the page."""
    copied = copy_project(ROOT, tmp_path / "tree")
    for step in steps(PAGE):
        step.carry_out(copied)
    return copied


async def run(tree: Path, *arguments: str, **environment: str) -> str:
    """A Python command in the copy; its output, once it has succeeded."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=tree, env=environment | {"PYTHONPATH": str(tree)}, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(WITHIN):
        output, errors = await process.communicate()
    assert process.returncode == 0, (output + errors).decode()
    return output.decode()


@asynccontextmanager
async def stand_in(tree: Path) -> AsyncIterator[str]:
    """Acme's stand-in as the page starts it; its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.sandbox.acme"), cwd=tree, env={"PYTHONPATH": str(tree)}, stdout=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


def test_every_block_that_names_a_file_is_a_step() -> None:
    assert len(steps(PAGE)) == len(re.findall(r"^\*\*(?:New file|In)\*\* ", PAGE, re.MULTILINE))


async def test_a_provider_that_is_added_as_the_page_says_paints_an_imagine(world: World, tree: Path) -> None:
    async with stand_in(tree) as url:
        acme = {
            "ACME_API_KEY": "acme-key-that-nobody-may-read",
            "ACME_BASE_URL": f"{url}/v1",
            "ACME_MEDIA_HOSTS": url.partition("//")[2],
        }
        world.tree = tree
        async with world.connected_process(**acme) as bot:
            message = await world.paint("a fox in the snow", model="acme-brush")
        assert len(message["attachments"]) == 1
        assert "Acme Brush" in message["content"]
        assert "$0.02" in message["content"]
        assert acme["ACME_API_KEY"] not in bot.log
        report = await run(tree, "-m", "bot", "doctor", **world.environment(**acme))
    assert re.search(r"Acme +its key works, \$12\.50 left", report)
    assert re.search(r"Acme Brush +.*served", report)


async def test_the_copy_still_keeps_its_contracts_and_its_style(tree: Path) -> None:
    lint_imports = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    await run(tree, "-c", lint_imports)
    await run(tree, "-m", "ruff", "check", "--quiet", ".")
    await run(tree, "-m", "ruff", "format", "--check", "--quiet", ".")
