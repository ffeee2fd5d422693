"""The settings: their documentation, one line for each wrong value, and secrets that never show."""

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
from bot.catalog.catalog import Catalog
from bot.domain.errors import SetupError
from bot.logs import Redacting
from bot.settings import Quota

ROOT = Path(__file__).parents[2]
TOKEN, KEY = "MTA1.a-token-that-nobody-may-read", "key-id:a-key-that-nobody-may-read"
KEYS = {
    "fal_key": KEY,
    "lumenfall_api_key": "lmnfl_a-key-that-nobody-may-read",
    "oxen_api_key": "oxen-a-key-that-nobody-may-read",
    "openai_api_key": "sk-a-key-that-nobody-may-read",
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


MODELS = ", ".join(sorted(model.name for model in Catalog.load().models))


def load(**more: Any) -> settings.Settings:
    return settings.load(_env_file=None, **{"discord_token": TOKEN, "fal_key": KEY, **more})


def defaults() -> dict[str, str]:
    """Each variable's default as an operator would write it, without a slash at its end."""

    def written(default: object) -> str:
        if default in ({}, ()) or default is None or default is PydanticUndefined:
            return ""
        return str(default).lower() if isinstance(default, bool) else str(default).rstrip("/")

    return {name.upper(): written(field.default) for name, field in settings.Settings.model_fields.items()}


def test_the_example_file_lists_exactly_the_settings_with_their_defaults() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE)
    assert {name: value.rstrip("/") for _, name, value in lines} == defaults()
    # Required variables and the key of one service are active lines; the others are commented out.
    needed = [name.upper() for name, field in settings.Settings.model_fields.items() if field.is_required()]
    assert [name for mark, name, _ in lines if not mark] == [*needed, "FAL_KEY"]


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
    assert (found.default_quota, found.jobs_at_once) == (Quota(10, "day"), 7)


def test_each_service_is_optional_and_none_is_set_by_default() -> None:
    found = settings.load(_env_file=None, discord_token=TOKEN)
    assert [getattr(found, name) for name in KEYS] == [None] * 4
    assert found.secrets() == (TOKEN,)
    whole = settings.load(_env_file=None, discord_token=TOKEN, **KEYS)
    assert set(whole.secrets()) == {TOKEN, *KEYS.values()}


def test_an_empty_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name.upper(), "")
    found = settings.load(_env_file=None, discord_token=TOKEN)
    assert (found.fal_key, found.fal_webhook_url, found.fal_start_timeout) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", {}),
        (" ; ", {}),
        ("gpt-image-1.5=lumenfall,fal", {"gpt-image-1.5": ("lumenfall", "fal")}),
        (
            " gpt-image-1.5 = Lumenfall , fal,lumenfall ;gpt-image-1=fal; ",
            {"gpt-image-1.5": ("lumenfall", "fal"), "gpt-image-1": ("fal",)},
        ),
    ],
)
def test_the_order_of_services_is_read_for_each_model(text: str, order: dict[str, tuple[str, ...]]) -> None:
    assert load(service_order=text).service_order == order


@pytest.mark.parametrize(
    ("text", "models"), [("", ()), (" , ", ()), ("gpt-image-2, gpt-image-1 ,", ("gpt-image-2", "gpt-image-1"))]
)
def test_the_allowed_models_are_separated_by_commas(text: str, models: tuple[str, ...]) -> None:
    assert load(models=text).models == models


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("{}", {}),
        ('{"moderation": "low", "seed": 7, "safe": true}', {"moderation": "low", "seed": 7, "safe": True}),
    ],
)
def test_more_fields_for_lumenfall_are_plain_json(text: str, fields: dict[str, object]) -> None:
    assert load(lumenfall_fields=text).lumenfall_fields == fields


WRONG = [
    ("discord_token", f"{TOKEN} {TOKEN}"),
    ("fal_key", f"{KEY}\nand more"),
    ("fal_key", f"{KEY}…"),
    ("discord_api_url", "discord"),
    ("discord_gateway_url", "https://gateway.discord.gg"),
    ("discord_api_url", f"https://:{KEY}@discord.example"),
    ("fal_queue_url", "http:///queue.fal.run"),
    ("fal_queue_url", "https:queue.fal.run"),
    ("fal_queue_url", "https://queue.fal.run\\@x"),
    ("fal_queue_url", "https://queue.fal.run:0"),
    ("lumenfall_base_url", "https://%41.example/v1"),
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
    ("lumenfall_api_key", f"{KEY} {KEY}"),
    ("oxen_api_key", f"{KEY}\t{KEY}"),
    ("openai_api_key", f"“{KEY}”"),
    ("service_order", "fal"),
    ("service_order", "gpt-image-1.5="),
    ("service_order", "gpt-image-1.5=,"),
    ("service_order", "gpt-image-1.5=fal,"),
    ("service_order", "=fal"),
    ("service_order", "gpt-image-1.5=fal; lumenfall"),
    ("fal_rest_url", "rest.fal.ai"),
    ("fal_api_url", "ftp://api.fal.ai"),
    ("fal_webhook_url", "easel.example/fal"),
    ("fal_stream", "perhaps"),
    ("fal_start_timeout", "0.5"),
    ("fal_start_timeout", "3601"),
    ("fal_longest_queue", "0"),
    ("webhook_port", "65536"),
    ("lumenfall_base_url", "api.lumenfall.ai"),
    ("lumenfall_media_hosts", ""),
    ("lumenfall_partials", "4"),
    ("lumenfall_partials", "-1"),
    ("lumenfall_fields", "moderation=low"),
    ("lumenfall_fields", '["moderation"]'),
    ("lumenfall_fields", '{"moderation": null}'),
    ("lumenfall_fields", '{"moderation": {"level": "low"}}'),
    ("lumenfall_fields", '{"strength": 0.5}'),
    ("lumenfall_fields", '{"size": "auto"}'),
    ("lumenfall_fields", '{"n": 4}'),
    ("lumenfall_fields", f'{{"Api_Key": "{KEY}"}}'),
    ("lumenfall_fields", "[" * 100_000),
    ("oxen_base_url", "hub.oxen.ai"),
    ("oxen_media_hosts", "*"),
]


def test_a_field_that_easel_sets_itself_is_named() -> None:
    with pytest.raises(SetupError, match=r"^LUMENFALL_FIELDS is not valid: Easel sets n, size itself\.$"):
        load(lumenfall_fields='{"size": "auto", "n": 2}')
    with pytest.raises(SetupError, match="set OPENAI_API_KEY and LUMENFALL_BYOK"):
        load(lumenfall_fields='{"provider_key": "x"}')


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
    assert len(line) < 200


async def test_a_default_model_that_does_not_exist_is_named_in_one_line(tmp_path: Path) -> None:
    found = load(default_model="crayons-2", database_url=f"sqlite:///{tmp_path}/easel.db")
    sentence = f"DEFAULT_MODEL is not valid, as crayons-2: choose one of {MODELS}."
    with pytest.raises(SetupError, match=f"^{re.escape(sentence)}$"):
        async with open_app(found):
            pytest.fail("it opened")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"service_order": "crayons-2=fal"},
            f"SERVICE_ORDER is not valid: choose among {MODELS}, not crayons-2.",
        ),
        (
            {"models": "gpt-image-1.5,crayons-2"},
            f"MODELS is not valid: choose among {MODELS}, not crayons-2.",
        ),
        (
            {"models": "gpt-image-2", "default_model": "gpt-image-1.5"},
            "DEFAULT_MODEL is not valid, as gpt-image-1.5: choose one of gpt-image-2.",
        ),
        (
            {"fal_key": None},
            "No image service is set. Put FAL_KEY, LUMENFALL_API_KEY or OXEN_API_KEY in .env; "
            ".env.example shows how.",
        ),
        (
            {"fal_key": None, "openai_api_key": KEYS["openai_api_key"]},
            "No image service is set. Put FAL_KEY, LUMENFALL_API_KEY or OXEN_API_KEY in .env; "
            ".env.example shows how.",
        ),
    ],
)
async def test_settings_that_cannot_work_together_are_one_line_at_the_start(
    tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    found = load(database_url=f"sqlite:///{tmp_path}/easel.db", **given)
    with pytest.raises(SetupError, match=f"^{re.escape(sentence)}$"):
        async with open_app(found):
            pytest.fail("it opened")


def test_a_missing_token_is_asked_for() -> None:
    sentence = r"^DISCORD_TOKEN is not set\. Put it in \.env; \.env\.example shows how\.$"
    with pytest.raises(SetupError, match=sentence):
        settings.load(_env_file=None, fal_key=KEY)


def test_secrets_are_never_in_text_a_dump_or_a_traceback() -> None:
    found = load(**KEYS)
    shown = [str(found), repr(found), f"{found!r:>10}", str(found.model_dump()), found.model_dump_json()]
    error = ValueError(found)
    shown.append("".join(traceback.format_exception(error)))
    record = logging.LogRecord("bot", logging.ERROR, __file__, 1, "%s", (found,), (type(error), error, None))
    shown.append(Redacting(found.secrets()).format(record))
    secrets = {TOKEN, *KEYS.values()}
    for text in shown:
        assert [secret for secret in secrets if secret in text] == []
    assert set(found.secrets()) == secrets
