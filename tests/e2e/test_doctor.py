"""`python -m bot doctor` as an operator starts it: what it says of the services, and what to do next."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.support.world.world import KEY, LUMENFALL_KEY, OXEN_KEY, ROOT, TOKEN, World

NOBODY = "127.0.0.1:9"
"""An address where no service answers."""
SECRETS = (TOKEN, KEY, LUMENFALL_KEY, OXEN_KEY, *KEY.split(":"), *LUMENFALL_KEY.split("."))
UNTIL = "( until|, was to end on)"
"""Before a day, and after it."""


@dataclass(frozen=True)
class Report:
    """What a run of the doctor left behind."""

    code: int
    lines: list[str]
    complaints: list[str]

    def below(self, head: str) -> list[str]:
        """The line that begins so, and those that belong to it, without the first column."""
        start = next(number for number, line in enumerate(self.lines) if line.startswith(head))
        rest = self.lines[start + 1 :]
        end = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
        return [line[11:].rstrip() for line in (self.lines[start], *rest[:end])]

    def heads(self) -> list[str]:
        """The first column."""
        return [head for line in self.lines if (head := line[:11].strip())]

    def advice(self) -> list[str]:
        """What is to be done."""
        return [line.partition("-> ")[2] for line in self.lines if "-> " in line]


async def examined(house: World, **more: str | None) -> Report:
    """Run it with what an operator set; whatever it found, no secret is told."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "doctor"),
        cwd=house.folder,
        env=house.environment(**more) | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, complained = (written.decode() for written in await process.communicate())
    keys = [value for name, value in more.items() if value and name.endswith("_KEY")]
    for secret in (*SECRETS, *keys, *(part for key in keys for part in re.split(r"[:.]", key))):
        assert secret not in said + complained
    assert "Traceback" not in complained
    assert process.returncode is not None
    return Report(process.returncode, said.splitlines(), complained.splitlines())


@pytest.fixture
async def three(three: World) -> AsyncIterator[World]:
    """Nothing that is refused or down may cost anything."""
    yield three
    assert not three.fal.requests
    assert not three.lumenfall.requests
    assert not three.oxen.generations


async def test_a_house_in_order_is_told_service_by_service(three: World) -> None:
    report = await examined(three)
    assert (report.code, report.complaints, report.advice()) == (0, [], [])
    heads = [head for head in report.heads() if head != "soon"]  # what is soon switched off depends on the day
    assert heads == [
        *("settings", "database", "prices", "fal", "Lumenfall", "Oxen", "default", "Discord", "invite")
    ]
    fal, lumenfall, oxen = (report.below(name) for name in ("fal", "Lumenfall", "Oxen"))
    assert (fal[0], lumenfall[0], oxen[0]) == ("its key works", "its key works, $25.00 left", "its key works")
    served = [
        (fal[1:], rf"  GPT Image 1\.5  \$0\.035  served{UNTIL} 1 December 2026"),
        (fal[2:], r"  GPT Image 2    \$0\.061  served"),
        (fal[3:], rf"  GPT Image 1    \$0\.043  served{UNTIL} 23 October 2026"),
        (lumenfall[1:], rf"  GPT Image 1\.5  \$0\.035  served{UNTIL} 1 December 2026"),
        (lumenfall[2:], rf"  GPT Image 1    \$0\.043  served{UNTIL} 23 October 2026"),
        (oxen[1:], rf"  GPT Image 1\.5  \$0\.04   served{UNTIL} 1 December 2026"),
    ]
    for lines, pattern in served:
        assert re.fullmatch(pattern, lines[0]), lines[0]
    assert (len(fal), len(lumenfall), len(oxen)) == (4, 3, 2)
    assert report.below("default") == ["GPT Image 1.5, painted by fal, then Lumenfall, then Oxen"]
    assert "/oauth2/authorize?client_id=" in report.lines[-1]


@pytest.mark.parametrize(
    ("name", "setting", "key"),
    [
        ("fal", "FAL_KEY", "id-of-nobody:secret-of-nobody"),
        ("Lumenfall", "LUMENFALL_API_KEY", "lmnfl_id-of-nobody.secret-of-nobody"),
        ("Oxen", "OXEN_API_KEY", "key-of-nobody"),
    ],
)
async def test_a_refused_key_is_named_and_never_shown(three: World, name: str, setting: str, key: str) -> None:
    report = await examined(three, **{setting: key})
    assert report.code == 1
    found, advice = report.below(name)
    assert found.startswith("does not take its key: ")
    assert re.fullmatch(rf"-> Make a new key at https://\S+ and put it into {setting}\.", advice)
    assert len(report.advice()) == 1
    assert report.lines[-1].startswith("invite")  # it looks at everything else all the same


@pytest.mark.parametrize(
    ("name", "setting", "path"),
    [
        ("fal", "FAL_API_URL", "/v1"),
        ("Lumenfall", "LUMENFALL_BASE_URL", "/openai/v1"),
        ("Oxen", "OXEN_BASE_URL", "/api"),
    ],
)
async def test_a_service_that_cannot_be_reached(three: World, name: str, setting: str, path: str) -> None:
    report = await examined(three, **{setting: f"http://{NOBODY}{path}"})
    assert report.code == 1
    found, advice = report.below(name)
    assert found.startswith("could not be asked: ")
    assert advice == f"-> Ask again in some minutes. If it lasts, see whether this machine can reach {NOBODY}."
    others = {"fal", "Lumenfall", "Oxen"} - {name}
    assert all(report.below(other)[0].startswith("its key works") for other in others)


async def test_an_account_without_money(three: World) -> None:
    three.lumenfall.balance = 0
    three.fal.faults.set("platform_error", status=403, body="User is locked. Reason: Exhausted balance.")
    report = await examined(three)
    assert report.code == 1
    assert report.below("Lumenfall")[0] == "its key works, $0.00 left"
    assert report.below("fal")[0].startswith("does not take its key: 403 ")
    assert report.advice() == [
        "See at https://fal.ai/dashboard whether something is left there, and what the key may do.",
        "Top it up at https://lumenfall.ai.",
    ]


async def test_a_model_that_is_gone_at_one_service_needs_nobody(three: World) -> None:
    three.fal.faults.set("platform_gone", endpoint="fal-ai/gpt-image-1.5")
    report = await examined(three)
    assert (report.code, report.advice()) == (0, [])
    assert report.below("fal")[1].split() == ["GPT", "Image", "1.5", "gone"]
    assert report.below("default") == ["GPT Image 1.5, painted by Lumenfall, then Oxen"]


async def test_a_default_model_that_is_gone_everywhere_and_is_back(three: World) -> None:
    three.fal.faults.set("platform_gone", endpoint="fal-ai/gpt-image-1.5")
    three.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1.5")
    three.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    report = await examined(three)
    assert report.code == 1
    assert all(report.below(name)[1].endswith("gone") for name in ("fal", "Lumenfall", "Oxen"))
    assert report.below("default") == [
        "GPT Image 1.5 is gone; GPT Image 2 paints in its place",
        "-> Put gpt-image-2 into DEFAULT_MODEL.",
    ]
    only_lumenfall = await examined(three, FAL_KEY=None, OXEN_API_KEY=None)
    assert only_lumenfall.code == 1
    assert only_lumenfall.below("default") == [
        "GPT Image 1.5 is gone, and nothing paints in its place",
        "-> Put one of these into DEFAULT_MODEL: gpt-image-1.",
    ]
    for sandbox in (three.fal, three.lumenfall, three.oxen):
        sandbox.faults.clear()
    assert (await examined(three)).code == 0


async def test_one_service_is_enough(three: World) -> None:
    report = await examined(three, FAL_KEY=None, LUMENFALL_API_KEY=None)
    assert (report.code, report.advice()) == (0, [])
    assert report.below("Oxen")[0] == "its key works"
    assert report.below("not set up") == ["fal, Lumenfall"]
    assert report.below("default") == ["GPT Image 1.5, painted by Oxen"]


async def test_without_any_service_it_is_one_line(three: World) -> None:
    report = await examined(three, FAL_KEY=None, LUMENFALL_API_KEY=None, OXEN_API_KEY=None)
    assert (report.code, report.lines) == (78, [])
    [line] = report.complaints
    assert line == (
        "easel: No image service is set. Put FAL_KEY, LUMENFALL_API_KEY or OXEN_API_KEY in .env; "
        ".env.example shows how."
    )


async def test_a_refused_token_is_said_below_what_was_found_before(three: World) -> None:
    await three.discord.configure(token="the token of another bot")
    report = await examined(three)
    assert report.code == 78
    assert report.below("Oxen")[0] == "its key works"
    [line] = report.complaints
    assert "DISCORD_TOKEN" in line
