"""The demo as a process: its scene, pictures and transcript, its page, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.demo.demo_process import PAGE_URL, start_demo

PICTURES = {
    "1-imagine.png",
    "2-dunes.png",
    "2-edit.png",
    "3-reply.png",
    "6-imagine-1.png",
    "6-imagine-2.png",
    "6-imagine-3.png",
    "8-imagine.png",
    "9-imagine.png",
    "10-imagine.png",
    "11-another-model.png",
}
# Oxen says the shape of a picture, not how many pixels it has.
SIZES = {"8-imagine.png": (2160, 720), "9-imagine.png": (1024, 683), "11-another-model.png": (1024, 683)}
EXPECTED = ("answered 500", "failed several times", "by the service's own price list")
"""Warnings: of the last step, when no service takes OpenAI's model, and of what Lumenfall charges for Google's."""
HOSTILE = {
    "DISCORD_TOKEN": "the operator's own",
    "DISCORD_API_URL": "no address",
    "FAL_KEY": "",
    "FAL_API_URL": "no address",
    "LUMENFALL_API_KEY": "the operator's own",
    "LUMENFALL_BASE_URL": "no address",
    "LUMENFALL_PARTIALS": "0",
    "OXEN_API_KEY": "the operator's own",
    "OXEN_BASE_URL": "no address",
    "SERVICE_ORDER": "gpt-image-1.5=oxen",
    "MODELS": "none of them",
    "DEFAULT_QUOTA": "0/day",
    "JOBS_AT_ONCE": "many",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def check_output(folder: Path) -> None:
    """Check the pictures, and that the transcript has the whole scene in order."""
    found = {path.name for path in folder.glob("*.png")}
    assert found == PICTURES
    for name in PICTURES:
        with Image.open(folder / name) as image:
            image.verify()
            assert (image.format, image.size) == ("PNG", SIZES.get(name, (1536, 1024)))
    with Image.open(folder / "8-unfinished.webp") as image:
        image.load()
        assert image.width / image.height == pytest.approx(3, abs=0.01)
    text = (folder / "transcript.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## 1. Nora paints",
        "## 2. Theo edits a picture of his own",
        "## 3. Theo replies to Nora's lighthouse",
        "## 4. Theo asks for more than he has left",
        "## 5. Mika, a moderator, grants him more",
        "## 6. Theo asks again",
        "## 7. Mika looks up who paints, and lets Lumenfall begin",
        "## 8. Theo asks for a shape that no service has, and watches it being painted",
        "## 9. Mika has Oxen paint with a model of Google's",
        "## 10. Lumenfall is out of order, and the picture comes all the same",
        "## 11. OpenAI is out of order everywhere, and Theo takes another company's model",
    ]
    expected = (
        " · 3 of 4 left today",
        "Only Theo sees:\n\n> You asked for 3 pictures and have 2 left. The limit is 4 pictures per day",
        "Only Mika sees:\n\n> @Theo was given 5 pictures and now has 2 of 4 left today and 5 granted.",
        "@Theo a fox in an autumn forest",
        "fal → Lumenfall → Oxen",
        "Only Mika sees:\n\n> GPT Image 2 is now painted by Lumenfall, then fal. Before, it ",
        "0 of 4 left today and 3 granted  \n> <sub>4:1 became 3:1.</sub>",
        "While it is painted, everybody sees:",
        "@Theo northern lights over the mountains at night  \n> 4:1 became 3:1.",
        "Nano Banana 2 is now painted by Oxen.",
        "Oxen painted it.",
        "GPT Image 2 is now painted by Lumenfall, then fal, then Oxen. Before, it was painted by Lumenfall, ",
        "Lumenfall has trouble now: nobody behind it can paint.",
        "@Theo a sailing boat in the morning mist",
        "Lumenfall was asked first and could not, so fal painted it.",
        "`[Paint with Nano Banana 2 · $0.088]`",
        "@Theo add gulls  \n> <sub>Nano Banana 2 · landscape",
    )
    places = [text.index(words) for words in expected]
    assert places == sorted(places)
    assert all(f"]({name})" in text for name in {*PICTURES, "8-unfinished.webp"})
    assert "<@" not in text
    assert "<t:" not in text


def test_once_needs_no_environment_and_a_second_run_in_the_same_folder_works(
    tmp_path: Path, taken_port: int
) -> None:
    with start_demo(tmp_path, "--once") as first:
        assert first.wait() == 0
    assert first.errors == []
    check_output(tmp_path / "output")
    (tmp_path / "output" / "mine.png").touch()
    (tmp_path / "output" / "6-imagine-1.png").unlink()

    (tmp_path / ".env").write_text("DISCORD_TOKEN=from-a-file\nLOG_LEVEL=LOUD\n")
    with start_demo(tmp_path, "--port", str(taken_port), environment=HOSTILE) as second:
        port = int(second.wait_for(PAGE_URL)[1])
        assert port != taken_port
        assert f"Port {taken_port} is taken, so the page is at another one." in second.output
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        assert second.stop(signal.SIGTERM) == 0
    assert second.errors == []
    assert second.output[-1] == "Good-bye."
    assert (tmp_path / "output" / "mine.png").exists()
    (tmp_path / "output" / "mine.png").unlink()
    check_output(tmp_path / "output")
    log = (tmp_path / "output" / "easel.log").read_text()
    assert "ERROR" not in log
    warnings = [line for line in log.splitlines() if " WARNING " in line]
    assert [line for line in warnings if not any(words in line for words in EXPECTED)] == []


def test_ctrl_c_in_the_middle_of_the_scene(tmp_path: Path) -> None:
    with start_demo(tmp_path) as demo:
        demo.wait_for("1. Nora types /imagine")
        assert demo.stop(signal.SIGINT) == 130
    assert demo.output[-1] == "Stopped before the scene was over."
    assert demo.errors == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a file")
    with start_demo(tmp_path, "--once") as demo:
        assert demo.wait() == 1
    assert len([*demo.output, *demo.errors]) == 1
    assert "output" in "".join(demo.output + demo.errors)
