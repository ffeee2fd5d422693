"""Every environment variable, typed, with its default. The only place that reads the environment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, TypeAdapter, ValidationError, WebsocketUrl
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.domain.errors import SetupError
from bot.domain.windows import Window
from bot.net.hosts import AllowedHosts


def _hosts(text: str) -> str:
    if not AllowedHosts.parse(text).patterns:
        raise ValueError("write at least one host, like cdn.example or *.example")
    return text


def _quota(text: str) -> str:
    match = re.fullmatch(r"([0-9]{1,6})/(\w+)", text)
    if match is None or match[2] not in get_args(Window):
        raise ValueError("write it as 10/day, 50/week or 200/month")
    return text


def _database(text: str) -> str:
    path = text.removeprefix("sqlite:///").strip()
    if not text.startswith("sqlite:///") or not path or path.startswith(":"):
        raise ValueError("write it as sqlite:///data/easel.db")
    return text


def _http(text: str) -> str:
    if TypeAdapter(HttpUrl).validate_python(text).username is not None:
        raise ValueError("leave the name and the password out")
    return text.rstrip("/")


def _websocket(text: str) -> str:
    TypeAdapter(WebsocketUrl).validate_python(text)
    return text


Http = Annotated[str, AfterValidator(_http)]
Websocket = Annotated[str, AfterValidator(_websocket)]


def _order(text: str) -> str:
    for part in filter(None, (part.strip() for part in text.split(";"))):
        model, _, names = part.partition("=")
        if not model.strip() or not all(name.strip() for name in names.split(",")):
            raise ValueError("write it as gpt-image-1.5=lumenfall,fal; gpt-image-1=fal")
    return text


def _fields(text: str) -> str:
    wrong = 'write it as JSON with plain values, like {"moderation": "low"}'
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise ValueError(wrong) from None
    if not isinstance(found, dict) or not all(isinstance(value, str | bool | int) for value in found.values()):
        raise ValueError(wrong)
    if any("key" in name.lower() for name in found):
        raise ValueError("a key does not belong here: set OPENAI_API_KEY and LUMENFALL_BYOK")
    taken = _OWN_FIELDS & set(found)
    if taken:
        raise ValueError(f"Easel sets {', '.join(sorted(taken))} itself")
    return text


def _secret(secret: SecretStr) -> SecretStr:
    # What goes into a header must be one; aiohttp would say so with a traceback.
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("it holds a space or a character that none has")
    return secret


_OWN_FIELDS = frozenset({
    "model", "prompt", "n", "size", "aspect_ratio", "resolution", "quality", "background", "output_format",
    "output_compression", "input_fidelity", "response_format", "stream", "partial_images", "user", "image", "mask",
})  # fmt: skip

Order = Annotated[str, AfterValidator(_order)]
Fields = Annotated[str, AfterValidator(_fields)]
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
    fal_key: Secret | None = Field(None, description="The key of fal.ai, as id:secret.")
    lumenfall_api_key: Secret | None = Field(None, description="The key of Lumenfall, as lmnfl_id.secret.")
    oxen_api_key: Secret | None = Field(None, description="The key of Oxen.ai.")
    openai_api_key: Secret | None = Field(
        None, description="Your own OpenAI key: fal paints GPT Image 1 on it. It is sent along and never kept."
    )
    service_order: Order = Field(
        "",
        description="Who is asked first: gpt-image-1.5=lumenfall,fal; gpt-image-1=fal. Empty: fal,lumenfall,oxen.",
    )
    models: str = Field("", description="The only models that may be used, separated by commas. Empty: all.")
    fal_queue_url: Http = Field("https://queue.fal.run", description="fal's queue.")
    fal_rest_url: Http = Field("https://rest.fal.ai", description="fal's storage service.")
    fal_api_url: Http = Field("https://api.fal.ai/v1", description="fal's list of models.")
    fal_media_hosts: Hosts = Field(
        "fal.media,*.fal.media,storage.googleapis.com", description="Hosts that fal's pictures are read from."
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
        "media.lumenfall.ai,storage.lumenfall.ai", description="Hosts that Lumenfall's pictures are read from."
    )
    lumenfall_partials: int = Field(
        2, ge=0, le=3, description="How many unfinished pictures are shown while one is painted."
    )
    lumenfall_inline: bool = Field(False, description="Have pictures sent in the answer, not by a link.")
    lumenfall_dry_run: bool = Field(
        True, description="Ask Lumenfall for the price first, where no picture is sent in."
    )
    lumenfall_byok: bool = Field(False, description="Pass OPENAI_API_KEY on to Lumenfall as well.")
    lumenfall_fields: Fields = Field(
        "", description='More fields for each request, as JSON: {"moderation": "low"}.'
    )
    oxen_base_url: Http = Field("https://hub.oxen.ai/api", description="Oxen.ai's API.")
    oxen_media_hosts: Hosts = Field("hub.oxen.ai", description="Hosts that Oxen's pictures are read from.")
    oxen_queue: bool = Field(True, description="Use Oxen's queue; else its synchronous way, picture by picture.")
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

    @property
    def order(self) -> dict[str, tuple[str, ...]]:
        """The operator's order of services for each model that has one."""
        parts = (part.partition("=") for part in self.service_order.split(";") if part.strip())
        return {
            model.strip(): tuple(dict.fromkeys(name.strip().lower() for name in names.split(",")))
            for model, _, names in parts
        }

    @property
    def allowed_models(self) -> tuple[str, ...]:
        """The only models that may be used; none means all."""
        return tuple(name.strip() for name in self.models.split(",") if name.strip())

    @property
    def lumenfall_extra(self) -> dict[str, str | bool | int]:
        """The further fields of each request to Lumenfall."""
        return dict(json.loads(self.lumenfall_fields or "{}"))

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
        raise SetupError(f"{name} is not valid: {_words(error)}.") from None


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
