"""`python -m bot doctor` as an operator starts it: its report on the services, and its advice."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from bot.__main__ import main
from bot.settings import Settings
from tests.support.world.world import KEY, LUMENFALL_KEY, OXEN_KEY, ROOT, TOKEN, World

UNREACHABLE = "127.0.0.1:9"
"""An address that refuses connections."""
SECRETS = (TOKEN, KEY, LUMENFALL_KEY, OXEN_KEY, *KEY.split(":"), *LUMENFALL_KEY.split("."))
UNTIL = "( until|, was to end on)"
"""The words before a switch-off date, until that day and after it."""


@dataclass(frozen=True)
class Report:
    """The output of one run of the doctor."""

    code: int
    lines: list[str]
    errors: list[str]

    def section(self, heading: str) -> list[str]:
        """The line with this heading and the lines below it, without the first column."""
        start = next(number for number, line in enumerate(self.lines) if line.startswith(heading))
        rest = self.lines[start + 1 :]
        end = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
        return [line[11:].rstrip() for line in (self.lines[start], *rest[:end])]

    def headings(self) -> list[str]:
        """The first column."""
        return [heading for line in self.lines if (heading := line[:11].strip())]

    def advice(self) -> list[str]:
        """The advice, a line each."""
        return [line.partition("-> ")[2] for line in self.lines if "-> " in line]


async def run_doctor(world: World, **more: str | None) -> Report:
    """Run the doctor with these settings; its output never holds a secret or a traceback."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors), patched_environment(world, **more):
        code = await asyncio.to_thread(main, ["doctor"])
    return checked_report(code, output.getvalue(), errors.getvalue(), more)


async def start_doctor(world: World) -> Report:
    """The same as an operator starts it, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "doctor"),
        cwd=world.folder,
        env=world.environment() | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = (written.decode() for written in await process.communicate())
    assert process.returncode is not None
    return checked_report(process.returncode, output, errors, {})


def checked_report(code: int, output: str, errors: str, more: Mapping[str, str | None]) -> Report:
    """The report, once it is known to hold no secret."""
    keys = [value for name, value in more.items() if value and name.endswith("_KEY")]
    for secret in (*SECRETS, *keys, *(part for key in keys for part in re.split(r"[:.]", key))):
        assert secret not in output + errors
    assert "Traceback" not in errors
    return Report(code, output.splitlines(), errors.splitlines())


@contextmanager
def patched_environment(world: World, **more: str | None) -> Iterator[None]:
    """These settings and no others, no `.env`, and this process's own log in the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        for name, value in world.environment(**more).items():
            patch.setenv(name, value)
        patch.chdir(world.folder)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


@pytest.fixture
async def full_world(full_world: World) -> AsyncIterator[World]:
    """The doctor may not submit anything anywhere."""
    yield full_world
    assert not full_world.fal.requests
    assert not full_world.lumenfall.requests
    assert not full_world.oxen.generations


async def test_a_working_installation_is_reported_service_by_service(full_world: World) -> None:
    report = await start_doctor(full_world)
    assert (report.code, report.errors, report.advice()) == (0, [], [])
    headings = [
        heading for heading in report.headings() if heading != "soon"
    ]  # which models are switched off soon depends on the day
    assert headings == [
        *("settings", "database", "prices", "fal", "Lumenfall", "Oxen", "default", "Discord", "invite")
    ]
    fal, lumenfall, oxen = (report.section(name) for name in ("fal", "Lumenfall", "Oxen"))
    assert (fal[0], lumenfall[0], oxen[0]) == ("its key works", "its key works, $25.00 left", "its key works")
    until, was = f"served{UNTIL} 1 December 2026", f"served{UNTIL} 23 October 2026"
    told = r"\$0\.067 \(catalogue: \$0\.08\)"
    wanted: dict[str, dict[str, tuple[str, str]]] = {
        "fal": {
            "GPT Image 2.5 Flare": (r"\$0\.0132", "served"), "GPT Image 2.5 Sunburst": (r"\$0\.0132", "served"),
            "Nano Banana 2": (r"\$0\.08", "served"), "GPT Image 2": (r"\$0\.0527", "served"),
            "Nano Banana Pro": (r"\$0\.15", "served"), "Seedream 5 Lite": (r"\$0\.035", "served"),
            "Seedream 5 Pro": (r"\$0\.0675", "served"), "FLUX.2 pro": (r"\$0\.03", "served"),
            "FLUX 3": (r"\$0\.048", "served"), "GPT Image 1.5": (r"\$0\.034", until),
            "GPT Image 1": (r"\$0\.042", was),
        },
        "Lumenfall": {
            "Nano Banana 2": (told, "served"), "GPT Image 2": (r"\$0\.053", "served"),
            "Nano Banana Pro": (r"\$0\.134 \(catalogue: \$0\.15\)", "served"),
            "Seedream 5 Lite": (r"\$0\.035", "served"),
            "FLUX.2 pro": (r"\$0\.03", "served"), "GPT Image 1.5": (r"\$0\.034", until),
            "GPT Image 1": (r"\$0\.042", was),
        },
        "Oxen": {
            "GPT Image 2.5 Flare": (r"\$0\.0096", "served"), "GPT Image 2.5 Sunburst": (r"\$0\.0096", "served"),
            "Nano Banana 2": (r"\$0\.0871", "served"), "GPT Image 2": (r"\$0\.031", "served"),
            "Nano Banana Pro": (r"\$0\.15", "served"), "Seedream 5 Lite": (r"\$0\.04", "served"),
            "Seedream 5 Pro": (r"\$0\.045", "served"), "FLUX.2 pro": (r"\$0\.10", "served"),
            "FLUX 3": (r"\$0\.0624", "served"), "GPT Image 1.5": (r"\$0\.04", until),
        },
    }  # fmt: skip
    for service, rows in wanted.items():
        lines = report.section(service)[1:]
        assert len(lines) == len(rows), lines
        for (label, (price, state)), line in zip(rows.items(), lines, strict=True):
            assert re.fullmatch(rf"  {re.escape(label)} +{price} +{state}", line), line
    assert report.section("default") == ["GPT Image 1.5, painted by fal, then Lumenfall, then Oxen"]
    assert "/oauth2/authorize?client_id=" in report.lines[-1]


@pytest.mark.parametrize(
    ("name", "setting", "key"),
    [
        ("fal", "FAL_KEY", "id-of-nobody:secret-of-nobody"),
        ("Lumenfall", "LUMENFALL_API_KEY", "lmnfl_id-of-nobody.secret-of-nobody"),
        ("Oxen", "OXEN_API_KEY", "key-of-nobody"),
    ],
)
async def test_a_refused_key_is_named_and_never_shown(
    full_world: World, name: str, setting: str, key: str
) -> None:
    report = await run_doctor(full_world, **{setting: key})
    assert report.code == 1
    found, advice = report.section(name)
    assert found.startswith("does not take its key: ")
    assert re.fullmatch(rf"-> Make a new key at https://\S+ and put it into {setting}\.", advice)
    assert len(report.advice()) == 1
    assert report.lines[-1].startswith("invite")  # everything else is checked all the same


@pytest.mark.parametrize(
    ("name", "setting", "path"),
    [
        ("fal", "FAL_API_URL", "/v1"),
        ("Lumenfall", "LUMENFALL_BASE_URL", "/openai/v1"),
        ("Oxen", "OXEN_BASE_URL", "/api"),
    ],
)
async def test_a_service_that_cannot_be_reached(full_world: World, name: str, setting: str, path: str) -> None:
    report = await run_doctor(full_world, **{setting: f"http://{UNREACHABLE}{path}"})
    assert report.code == 1
    found, advice = report.section(name)
    assert found.startswith("could not be asked: ")
    assert (
        advice == f"-> Ask again in some minutes. If it lasts, see whether this machine can reach {UNREACHABLE}."
    )
    others = {"fal", "Lumenfall", "Oxen"} - {name}
    assert all(report.section(other)[0].startswith("its key works") for other in others)


async def test_an_account_without_money(full_world: World) -> None:
    full_world.lumenfall.balance = 0
    full_world.fal.faults.set("platform_error", status=403, body="User is locked. Reason: Exhausted balance.")
    report = await run_doctor(full_world)
    assert report.code == 1
    assert report.section("Lumenfall")[0] == "its key works, $0.00 left"
    assert report.section("fal")[0].startswith("does not take its key: 403 ")
    assert report.advice() == [
        "See at https://fal.ai/dashboard whether something is left there, and what the key may do.",
        "Top it up at https://lumenfall.ai.",
    ]


async def test_a_model_that_is_gone_at_one_service_needs_no_action(full_world: World) -> None:
    full_world.fal.faults.set("platform_gone", endpoint="fal-ai/gpt-image-1.5")
    report = await run_doctor(full_world)
    assert (report.code, report.advice()) == (0, [])
    assert ["GPT", "Image", "1.5", "gone"] in [line.split() for line in report.section("fal")]
    assert report.section("default") == ["GPT Image 1.5, painted by Lumenfall, then Oxen"]


async def test_a_default_model_that_is_gone_everywhere_and_is_back(full_world: World) -> None:
    full_world.fal.faults.set("platform_gone", endpoint="fal-ai/gpt-image-1.5")
    full_world.lumenfall.faults.set("model_disabled", endpoint="gpt-image-1.5")
    full_world.oxen.faults.set("model_gone", endpoint="gpt-image-1-5")
    report = await run_doctor(full_world)
    assert report.code == 1
    for name in ("fal", "Lumenfall", "Oxen"):
        assert ["GPT", "Image", "1.5", "gone"] in [line.split() for line in report.section(name)]
    assert report.section("default") == [
        "GPT Image 1.5 is gone; GPT Image 2.5 Flare paints in its place",
        "-> Put gpt-image-2.5-flare into DEFAULT_MODEL.",
    ]
    only_lumenfall = await run_doctor(full_world, FAL_KEY=None, OXEN_API_KEY=None)
    assert only_lumenfall.code == 1
    assert only_lumenfall.section("default") == [
        "GPT Image 1.5 is gone; GPT Image 2 paints in its place",
        "-> Put gpt-image-2 into DEFAULT_MODEL.",
    ]
    full_world.lumenfall.faults.set("model_disabled")
    only_lumenfall = await run_doctor(full_world, FAL_KEY=None, OXEN_API_KEY=None)
    assert only_lumenfall.section("default") == [
        "GPT Image 1.5 is gone, and nothing paints in its place",
        "-> Set up another service.",
    ]
    for sandbox in (full_world.fal, full_world.lumenfall, full_world.oxen):
        sandbox.faults.clear()
    assert (await run_doctor(full_world)).code == 0


async def test_one_service_is_enough(full_world: World) -> None:
    report = await run_doctor(full_world, FAL_KEY=None, LUMENFALL_API_KEY=None)
    assert (report.code, report.advice()) == (0, [])
    assert report.section("Oxen")[0] == "its key works"
    assert report.section("not set up") == ["fal, Lumenfall"]
    assert report.section("default") == ["GPT Image 1.5, painted by Oxen"]


async def test_without_any_service_the_doctor_prints_one_line(full_world: World) -> None:
    report = await run_doctor(full_world, FAL_KEY=None, LUMENFALL_API_KEY=None, OXEN_API_KEY=None)
    assert (report.code, report.lines) == (78, [])
    [line] = report.errors
    assert line == (
        "easel: No image service is set. Put FAL_KEY, LUMENFALL_API_KEY or OXEN_API_KEY in .env; "
        ".env.example shows how."
    )


async def test_a_refused_token_is_reported_after_the_services(full_world: World) -> None:
    await full_world.discord.configure(token="the token of another bot")
    report = await run_doctor(full_world)
    assert report.code == 78
    assert report.section("Oxen")[0] == "its key works"
    [line] = report.errors
    assert "DISCORD_TOKEN" in line
