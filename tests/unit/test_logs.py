"""The format of log lines, and the redaction of secrets in them."""

from __future__ import annotations

import logging

import pytest

from bot.logs import Redacting

TOKEN, KEY = "MTA1.a-token-that-nobody-may-read", "key-id:a-key-that-nobody-may-read"
LINK = "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=66aa&is=66bb&hm=0123456789abcdef0123456789abcdef&"


def formatted(message: str, *arguments: object, error: BaseException | None = None) -> str:
    record = logging.LogRecord("bot", logging.INFO, __file__, 1, message, arguments, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return Redacting([TOKEN, KEY, ""]).format(record)


def test_a_line_holds_time_level_logger_and_message() -> None:
    line = formatted("job %d: again in %.1f s", 7, 2.0)
    assert line.endswith("INFO    bot: job 7: again in 2.0 s")
    assert line[:4].isdigit()


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        (f"login with {TOKEN}", TOKEN),
        (f"Authorization: Key {KEY}", KEY),
        ("Authorization: Bot MTA1.another-token", "another-token"),
        ("{'authorization': 'Bearer abcdefghijkl'}", "abcdefghijkl"),
        ('{"token": "aW50ZXJhY3Rpb246", "type": 2}', "aW50ZXJhY3Rpb246"),
        ("{'op': 2, 'd': {'token': 'another-secret-token'}}", "another-secret-token"),
        ("POST https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb246?wait=true", "aW50ZXJhY3Rpb246"),
        ("POST https://discord.com/api/v10/interactions/123/aW50ZXJhY3Rpb246/callback", "aW50ZXJhY3Rpb246"),
        (f"GET {LINK}", "0123456789abcdef"),
        ('{"image_urls": ["data:image/png;base64,iVBORw0KGgo+/AAA=="]}', "iVBORw0KGgo"),
    ],
)
def test_secrets_are_redacted_in_a_line(message: str, secret: str) -> None:
    line = formatted("%s", message)
    assert secret not in line
    assert "***" in line


def test_text_that_is_no_secret_stays_readable() -> None:
    line = formatted("job 1573606657630404608: POST %s answered 503, key mask-2 missing", LINK.partition("?")[0])
    assert "job 1573606657630404608" in line
    assert "/attachments/1/2/cat.png answered 503, key mask-2 missing" in line


def connect() -> None:
    raise ValueError(f"connecting with {TOKEN}")


def read() -> None:
    try:
        connect()
    except ValueError as cause:
        raise RuntimeError(f"reading {LINK} with {KEY}") from cause


def test_secrets_are_redacted_in_a_traceback_and_in_its_causes() -> None:
    with pytest.raises(RuntimeError) as caught:
        read()
    text = formatted("unexpected", error=caught.value)
    assert "RuntimeError: reading" in text
    assert "in connect" in text
    for secret in (TOKEN, KEY, "0123456789abcdef"):
        assert secret not in text
