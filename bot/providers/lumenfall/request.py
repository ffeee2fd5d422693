"""What Easel sends to Lumenfall: fields, files, and the names under which a request is found again. No I/O.

Sources: https://lumenfall.ai/models/openai/gpt-image-1.5, https://docs.lumenfall.ai/api-reference/images/edit.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bot.catalog.offers import ProviderRequest, Submit
from bot.domain.pictures import InputPicture

Extra = Mapping[str, str | bool | int]
MOST_PARTIALS = 3
"""Pictures on the way that OpenAI shows at most."""
_ONLY_LIVE = ("stream", "partial_images", "user")
"""Fields that change no price. A dry run carries no name, so that a history that lists it cannot mislead."""


def user_of(order: Submit) -> str:
    """What the request is called in the history: one name for each submit of a job."""
    return f"easel-{order.job_id}-{order.part}"


def trace_of(order: Submit) -> str:
    """The request's W3C trace id: 32 hexadecimal digits."""
    return _digest(order)[:32]


def traceparent(order: Submit) -> str:
    """The header of https://www.w3.org/TR/trace-context/, the same for the same submit."""
    digest = _digest(order)
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def _digest(order: Submit) -> str:
    return hashlib.sha256(user_of(order).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How the operator wants Lumenfall to be asked; `extra` may hold a secret."""

    partials: int
    inline: bool
    extra: Extra = field(repr=False)

    def streams(self, count: int) -> bool:
        """Whether the pictures on the way are asked for; only one picture can be watched."""
        return self.partials > 0 and count == 1

    def fields(self, order: Submit) -> dict[str, Any]:
        """A submit: Easel's own fields win over the operator's. Pictures are `InputPicture`s still."""
        fields = self._painting(order.fit, order.count, list(order.inputs), order.mask)
        if self.streams(order.count):
            fields |= {"stream": True, "partial_images": self.partials}
        return {**fields, "user": user_of(order)}

    def priced(self, fit: ProviderRequest, count: int) -> dict[str, Any]:
        """The same without pictures for a dry run."""
        fields = self._painting(fit, count, [], None)
        return {name: value for name, value in fields.items() if name not in _ONLY_LIVE}

    def _painting(
        self, fit: ProviderRequest, count: int, sources: list[InputPicture], mask: InputPicture | None
    ) -> dict[str, Any]:
        return {
            **self.extra,
            **fit.body(count, sources=sources, mask=mask),
            "model": fit.offer.model,
            "response_format": "b64_json" if self.inline else "url",
        }


def as_json(fields: Mapping[str, Any]) -> bytes:
    """The body of a generation."""
    return json.dumps(fields).encode()


def as_form(fields: Mapping[str, Any]) -> aiohttp.FormData:
    """The body of an edit: a part for each field and each picture."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, InputPicture):
                picture = part.picture
                form.add_field(
                    name,
                    io.BytesIO(picture.content),
                    content_type=picture.content_type,
                    filename=_plain(picture.filename),
                )
            else:
                form.add_field(name, _text(part))
    return form


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode(errors="replace").decode()


def _plain(filename: str) -> str:
    """A name that needs no quoting; its ending is what a service looks at."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)[-80:]
