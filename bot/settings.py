"""Every environment variable, typed, with its default. The only place that reads the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, WebsocketUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import SetupError
from bot.hosts import AllowedHosts
from bot.models import Window


def _hosts(text: str) -> str:
    if not AllowedHosts.parse(text).patterns:
        raise ValueError("write at least one host, like cdn.example or *.example")
    return text


def _quota(text: str) -> str:
    match = re.fullmatch(r"(\d{1,6})/(\w+)", text)
    if match is None or match[2] not in get_args(Window):
        raise ValueError("write it as 10/day, 50/week or 200/month")
    return text


def _database(text: str) -> str:
    path = text.removeprefix("sqlite:///").strip()
    if not text.startswith("sqlite:///") or not path or path.startswith(":"):
        raise ValueError("write it as sqlite:///data/easel.db")
    return text


def _http(text: str) -> str:
    TypeAdapter(HttpUrl).validate_python(text)
    return text.rstrip("/")


def _websocket(text: str) -> str:
    TypeAdapter(WebsocketUrl).validate_python(text)
    return text


Http = Annotated[str, AfterValidator(_http)]
Websocket = Annotated[str, AfterValidator(_websocket)]


def _secret(secret: SecretStr) -> SecretStr:
    # What goes into a header must be one; aiohttp would say so with a traceback.
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("it holds a space or a character that none has")
    return secret


Hosts = Annotated[str, AfterValidator(_hosts)]
Quota = Annotated[str, AfterValidator(_quota)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]


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
        "cdn.discordapp.com,media.discordapp.net",
        description="Hosts that pictures are read from: host, *.host, host:port or host:*.",
    )
    database_url: DatabaseUrl = Field("sqlite:///data/easel.db", description="Where jobs and the ledger live.")
    fal_key: Secret = Field(description="The key of fal.ai, as id:secret.")
    fal_queue_url: Http = Field("https://queue.fal.run", description="fal's queue.")
    fal_rest_url: Http = Field("https://rest.fal.ai", description="fal's storage service.")
    fal_media_hosts: Hosts = Field(
        "fal.media,*.fal.media,storage.googleapis.com", description="Hosts that fal's pictures are read from."
    )
    default_model: str = Field("gpt-image-1.5", description="The model that is used when nobody names one.")
    default_quota: Quota = Field(
        "10/day", description="What every member may paint while a server has no rule of its own."
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

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def quota(self) -> tuple[int, Window]:
        """The default quota as a number of images and a window."""
        number, _, window = self.default_quota.partition("/")
        return int(number), _window(window)

    def secrets(self) -> tuple[str, ...]:
        """Every secret's plain text, for the log's redaction only."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def _window(text: str) -> Window:
    for window in get_args(Window):
        if text == window:
            found: Window = window
            return found
    raise ValueError(text)


def load(**overrides: Any) -> Settings:
    """Read the environment.

    Raises:
        SetupError: a setting is wrong or missing; one line that names it and never shows its value.
    """
    try:
        return Settings(**overrides)
    except UnicodeDecodeError:
        raise SetupError(".env is not UTF-8 text. Save it as UTF-8.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        if first["type"] == "missing":
            raise SetupError(f"{name} is not set. Put it in .env; .env.example shows how.") from None
        raise SetupError(f"{name} is not valid: {first['msg'].removeprefix('Value error, ')}.") from None
