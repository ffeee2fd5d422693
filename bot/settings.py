"""Every environment variable with its default, parsed once. The only place that reads the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    WebsocketUrl,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from bot.domain.errors import SetupError
from bot.domain.windows import Window
from bot.net.hosts import AllowedHosts
from bot.net.urls import same_origin


@dataclass(frozen=True, slots=True)
class Quota:
    """So many pictures per window, written as 10/day."""

    images: int
    window: Window

    def __str__(self) -> str:
        return f"{self.images}/{self.window}"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """An SQLite file, written as sqlite:///data/easel.db."""

    path: Path

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


def _hosts(text: str) -> AllowedHosts:
    hosts = AllowedHosts.parse(text)
    if not hosts.patterns:
        raise ValueError("write at least one host, like cdn.example or *.example")
    return hosts


def _quota(text: str) -> Quota:
    match = re.fullmatch(r"([0-9]{1,6})/(\w+)", text.strip())
    for window in get_args(Window):
        if match is not None and match[2] == window:
            return Quota(int(match[1]), window)
    raise ValueError("write it as 10/day, 50/week or 200/month")


def _database_url(text: str) -> DatabaseUrl:
    path = text.strip().removeprefix("sqlite:///").strip()
    if not text.strip().startswith("sqlite:///") or not path or path.startswith(":"):
        raise ValueError("write it as sqlite:///data/easel.db")
    return DatabaseUrl(Path(path))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(map(Path, _names(text)))


def _provider_orders(text: str) -> dict[str, tuple[str, ...]]:
    orders = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        model, _, names = part.partition("=")
        if not model.strip() or not all(name.strip() for name in names.split(",")):
            raise ValueError("write it as gpt-image-2=lumenfall,fal; flux-3=oxen")
        orders[model.strip()] = tuple(dict.fromkeys(_names(names.lower())))
    return orders


def _fields(text: str) -> dict[str, Any]:
    wrong = 'write it as JSON with plain values, like {"moderation": "low"}'
    try:
        fields = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError(wrong) from None
    if not isinstance(fields, dict) or not all(isinstance(value, str | bool | int) for value in fields.values()):
        raise ValueError(wrong)
    if any("key" in name.lower() for name in fields):
        raise ValueError("a key does not belong here: set OPENAI_API_KEY and LUMENFALL_BYOK")
    taken = _OWN_FIELDS & set(fields)
    if taken:
        raise ValueError(f"Easel sets {', '.join(sorted(taken))} itself")
    return fields


def _http(text: str) -> str:
    url = _HTTP_URL.validate_python(text)
    if url.username is not None or url.password is not None:
        raise ValueError("leave the name and the password out")
    # pydantic repairs what the HTTP client refuses, with a traceback.
    if not same_origin(text, text):
        raise ValueError("it is not clear where it leads; write it as https://host/path")
    return text.rstrip("/")


def _websocket(text: str) -> str:
    _WEBSOCKET_URL.validate_python(text)
    return text


def _secret(secret: SecretStr) -> SecretStr:
    # It is sent in a header; an HTTP library would refuse it there, with a traceback.
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("it holds a space or a character that no key or token has")
    return secret


_HTTP_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)
_WEBSOCKET_URL: TypeAdapter[WebsocketUrl] = TypeAdapter(WebsocketUrl)
_OWN_FIELDS = frozenset({
    "model", "prompt", "n", "size", "aspect_ratio", "resolution", "quality", "background", "output_format",
    "output_compression", "input_fidelity", "response_format", "stream", "partial_images", "user", "image", "mask",
})  # fmt: skip


def _parsed(parse: Callable[[str], object]) -> BeforeValidator:
    """Parse an operator's text once; a value that is parsed already, such as a default, stays."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


Http = Annotated[str, AfterValidator(_http)]
Websocket = Annotated[str, AfterValidator(_websocket)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
# NoDecode: pydantic-settings would read the text as JSON.
Hosts = Annotated[AllowedHosts, NoDecode, _parsed(_hosts)]
DefaultQuota = Annotated[Quota, NoDecode, _parsed(_quota)]
Database = Annotated[DatabaseUrl, NoDecode, _parsed(_database_url)]
Names = Annotated[tuple[str, ...], NoDecode, _parsed(_names)]
Paths = Annotated[tuple[Path, ...], NoDecode, _parsed(_paths)]
ProviderOrders = Annotated[dict[str, tuple[str, ...]], NoDecode, _parsed(_provider_orders)]
Fields = Annotated[dict[str, str | bool | int], NoDecode, _parsed(_fields)]


class Settings(BaseSettings):
    """What an operator can set, in the environment or in a file named `.env`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    discord_token: Secret = Field(description="The bot's token, from Discord's developer portal.")
    discord_api_url: Http = Field("https://discord.com/api/v10", description="Discord's HTTP API.")
    discord_gateway_url: Websocket = Field("wss://gateway.discord.gg/", description="Discord's gateway.")
    discord_media_hosts: Hosts = Field(
        AllowedHosts.parse("cdn.discordapp.com,media.discordapp.net"),
        description="Hosts that pictures are read from: host, *.host, host:port or host:*.",
    )
    database_url: Database = Field(
        DatabaseUrl(Path("data/easel.db")), description="Where jobs and the ledger live."
    )
    fal_key: Secret | None = Field(None, description="The key of fal.ai, as id:secret.")
    lumenfall_api_key: Secret | None = Field(None, description="The key of Lumenfall, as lmnfl_id.secret.")
    oxen_api_key: Secret | None = Field(None, description="The key of Oxen.ai.")
    openai_api_key: Secret | None = Field(
        None, description="Your own OpenAI key: fal paints GPT Image 1 on it. It is sent along and never kept."
    )
    service_order: ProviderOrders = Field(
        {},
        description="The order of services: gpt-image-2=lumenfall,fal; flux-3=oxen. Empty: fal,lumenfall,oxen.",
    )
    catalog_files: Paths = Field(
        (), description="Your own models and prices: TOML files, separated by commas; docs/add-a-model.md."
    )
    models: Names = Field((), description="The only models that may be used, separated by commas. Empty: all.")
    fal_queue_url: Http = Field("https://queue.fal.run", description="fal's queue.")
    fal_rest_url: Http = Field("https://rest.fal.ai", description="fal's storage service.")
    fal_api_url: Http = Field("https://api.fal.ai/v1", description="fal's list of models.")
    fal_media_hosts: Hosts = Field(
        AllowedHosts.parse("fal.media,*.fal.media,storage.googleapis.com"),
        description="Hosts that fal's pictures are read from.",
    )
    fal_stream: bool = Field(True, description="Let fal tell how a request goes on; otherwise Easel asks.")
    fal_start_timeout: float | None = Field(
        None, ge=1, le=3600, description="After how many seconds in fal's queue a request is given up."
    )
    fal_longest_queue: int | None = Field(
        None, ge=1, le=100_000, description="How long fal's queue may be before a request goes elsewhere."
    )
    fal_webhook_url: Http | None = Field(
        None, description="Where fal may report that a picture is done: the public address of the listener."
    )
    webhook_host: str = Field("127.0.0.1", description="The address that the listener for webhooks is bound to.")
    webhook_port: int = Field(8080, ge=0, le=65535, description="Its port.")
    lumenfall_base_url: Http = Field("https://api.lumenfall.ai/openai/v1", description="Lumenfall's API.")
    lumenfall_media_hosts: Hosts = Field(
        AllowedHosts.parse("media.lumenfall.ai,storage.lumenfall.ai"),
        description="Hosts that Lumenfall's pictures are read from.",
    )
    lumenfall_partials: int = Field(
        2, ge=0, le=3, description="How many unfinished pictures are shown while one is painted."
    )
    lumenfall_inline: bool = Field(False, description="Have pictures sent in the answer, not by a link.")
    lumenfall_dry_run: bool = Field(
        True,
        description="Ask Lumenfall for prices by free dry runs, every hour and before a submit without a picture.",
    )
    lumenfall_byok: bool = Field(False, description="Pass OPENAI_API_KEY on to Lumenfall as well.")
    lumenfall_fields: Fields = Field(
        {}, description='More fields for each request, as JSON: {"moderation": "low"}.'
    )
    oxen_base_url: Http = Field("https://hub.oxen.ai/api", description="Oxen.ai's API.")
    oxen_media_hosts: Hosts = Field(
        AllowedHosts.parse("hub.oxen.ai"), description="Hosts that Oxen's pictures are read from."
    )
    oxen_queue: bool = Field(True, description="Use Oxen's queue; else its synchronous way, picture by picture.")
    default_model: str = Field(
        "", description="The model that is used when nobody names one. Empty: the first that can do what is asked."
    )
    default_quota: DefaultQuota = Field(
        Quota(10, "day"), description="What every member may paint while a server has no limit of its own."
    )
    jobs_at_once: int = Field(256, ge=1, le=1000, description="Pictures that are waited for at the same time.")
    uploads_at_once: int = Field(4, ge=1, le=32, description="Results that are sent to Discord at the same time.")
    lease_seconds: float = Field(
        60,
        ge=2,
        le=600,
        description="After how many seconds another process takes over the jobs of one that died.",
    )
    shutdown_seconds: float = Field(
        20, ge=0, le=600, description="How long running deliveries may take after a request to stop."
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )

    def secrets(self) -> tuple[str, ...]:
        """Every secret's plain text, for the log's redaction only."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


class _Given(Settings):
    """The settings without the environment as a source."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def load(**overrides: Any) -> Settings:
    """Read the environment.

    Raises:
        SetupError: a setting is wrong or missing; one line that names it and never shows its value.
    """
    return _validated(Settings, overrides)


def given(**values: Any) -> Settings:
    """These values and the defaults, whatever the environment and .env hold.

    Raises:
        SetupError: as `load`.
    """
    return _validated(_Given, values)


def _validated(schema: type[Settings], values: Mapping[str, Any]) -> Settings:
    try:
        return schema(**values)
    except UnicodeDecodeError:
        raise SetupError(".env is not UTF-8 text. Save it as UTF-8.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        if first["type"] == "missing":
            raise SetupError(f"{name} is not set. Put it in .env; .env.example shows how.") from None
        raise SetupError(f"{name} is not valid: {_words(error)}.") from None


def load_without_token() -> Settings:
    """Read the environment for a command that does not go to Discord, so that it works before there is a token.

    Raises:
        SetupError: as `load`.
    """
    return load(discord_token="none")  # noqa: S106 - it is no token


def _words(error: ValidationError) -> str:
    """What is wrong with the first setting, without its value."""
    first = error.errors(include_url=False, include_input=False)[0]
    limits = {**first.get("ctx", {})}
    match first["type"]:
        case "bool_parsing" | "bool_type":
            return "write true or false"
        case "greater_than_equal":
            return f"write a number that is at least {limits['ge']}"
        case "less_than_equal":
            return f"write a number that is at most {limits['le']}"
        case "int_parsing" | "float_parsing":
            return "write a number"
        case "string_pattern_mismatch":
            return f"choose {str(limits['pattern']).strip('^$()').replace('|', ', ')}"
        case _:
            return first["msg"].removeprefix("Value error, ")
