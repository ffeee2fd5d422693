"""What an operator can set: documented as it is, refused in one line where it is wrong, and never shown."""

from __future__ import annotations

import logging
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from bot import settings
from bot.app import open_app
from bot.errors import SetupError
from bot.logs import Redacting

ROOT = Path(__file__).parents[1]
TOKEN, KEY = "MTA1.a-token-that-nobody-may-read", "key-id:a-key-that-nobody-may-read"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(**more: Any) -> settings.Settings:
    return settings.load(_env_file=None, **{"discord_token": TOKEN, "fal_key": KEY, **more})


def defaults() -> dict[str, str]:
    """Each variable's default as an operator would write it, without a slash at its end."""
    fields = settings.Settings.model_fields.items()
    return {
        name.upper(): "" if field.default is PydanticUndefined else str(field.default).rstrip("/")
        for name, field in fields
    }


def test_the_example_file_lists_exactly_the_settings_with_their_defaults() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)
    assert {name: value.rstrip("/") for _, name, value in lines} == defaults()
    # What has no default waits to be filled in; the rest is commented out.
    assert [name for mark, name, _ in lines if not mark] == [
        name for name, value in defaults().items() if not value
    ]


def test_the_readme_has_a_row_for_every_setting_with_its_default_and_what_it_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|\s*`([A-Z][A-Z0-9_]*)`\s*\|([^|]*)\|([^|]*)\|", text, re.MULTILINE)
    assert {name: value.strip().strip("`").rstrip("/") for name, value, _ in rows} == defaults()
    described = {name.upper(): field.description for name, field in settings.Settings.model_fields.items()}
    assert {name: words.strip() for name, _, words in rows} == described


def test_a_filled_in_example_file_is_a_working_set_of_settings(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    text = text.replace("DISCORD_TOKEN=", f"DISCORD_TOKEN={TOKEN}").replace("FAL_KEY=", f"FAL_KEY={KEY}")
    example = tmp_path / "env"
    example.write_text(re.sub(r"^#(?=[A-Z])", "", text, flags=re.MULTILINE), encoding="utf-8")
    assert settings.load(_env_file=example) == load()


def test_an_empty_variable_means_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFAULT_QUOTA", "")
    monkeypatch.setenv("JOBS_AT_ONCE", "7")
    found = load()
    assert (found.default_quota, found.quota, found.jobs_at_once) == ("10/day", (10, "day"), 7)


WRONG = [
    ("discord_token", f"{TOKEN} {TOKEN}"),
    ("fal_key", f"{KEY}\nand more"),
    ("fal_key", f"{KEY}…"),
    ("discord_api_url", "discord"),
    ("discord_gateway_url", "https://gateway.discord.gg"),
    ("discord_media_hosts", "https://cdn.discordapp.com"),
    ("fal_media_hosts", "*"),
    ("database_url", "postgresql://host/easel"),
    ("database_url", "sqlite:///"),
    ("default_quota", "10"),
    ("default_quota", "-1/day"),
    ("default_quota", "10/hour"),
    ("jobs_at_once", "0"),
    ("jobs_at_once", "many"),
    ("uploads_at_once", "33"),
    ("lease_seconds", "1"),
    ("shutdown_seconds", "-1"),
    ("log_level", "verbose"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_setting_is_named_in_one_line_that_never_shows_its_value(name: str, value: str) -> None:
    with pytest.raises(SetupError) as caught:
        load(**{name: value})
    line = str(caught.value)
    assert line.startswith(f"{name.upper()} is not valid: ")
    assert line.endswith(".")
    assert "\n" not in line
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown
    assert KEY not in shown


async def test_a_default_model_that_does_not_exist_is_named_in_one_line(tmp_path: Path) -> None:
    found = load(default_model="crayons-2", database_url=f"sqlite:///{tmp_path}/easel.db")
    with pytest.raises(SetupError, match=r"^DEFAULT_MODEL is not valid: choose one of gpt-image-1\.5\.$"):
        async with open_app(found):
            pytest.fail("it opened")


@pytest.mark.parametrize("name", ["discord_token", "fal_key"])
def test_a_missing_secret_is_asked_for(name: str) -> None:
    given = {"discord_token": TOKEN, "fal_key": KEY}
    del given[name]
    with pytest.raises(SetupError, match=f"^{name.upper()} is not set. Put it in .env; .env.example shows how.$"):
        settings.load(_env_file=None, **given)


def test_secrets_are_never_in_text_a_dump_or_a_traceback() -> None:
    found = load()
    shown = [str(found), repr(found), f"{found!r:>10}", str(found.model_dump()), found.model_dump_json()]
    error = ValueError(found)
    shown.append("".join(traceback.format_exception(error)))
    record = logging.LogRecord("bot", logging.ERROR, __file__, 1, "%s", (found,), (type(error), error, None))
    shown.append(Redacting(found.secrets()).format(record))
    for text in shown:
        assert TOKEN not in text
        assert KEY not in text
    assert set(found.secrets()) == {TOKEN, KEY}
