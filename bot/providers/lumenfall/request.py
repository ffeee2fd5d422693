"""What Easel sends to Lumenfall: fields, files, and the names by which a request is found again. No I/O.

Sources: https://lumenfall.ai/models/openai/gpt-image-1.5, https://docs.lumenfall.ai/api-reference/images/edit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from bot.catalog.offers import ProviderRequest, Submit
from bot.domain.pictures import InputPicture

ExtraFields = Mapping[str, str | bool | int]
Part = tuple[str, tuple[str | None, IO[bytes] | str, str]]
"""The field of a form, and its file name, content and content type."""
MAXIMUM_PARTIALS = 3
"""Unfinished pictures that OpenAI sends at most."""
_NOT_PRICED = ("stream", "partial_images", "user")
"""Fields that change no price. A dry run carries no `user`, so that it is not found in the history."""


def user_of(submit: Submit) -> str:
    """The request's `user` field in the history, of its own for each submit of a job."""
    return f"easel-{submit.job_id}-{submit.part}"


def trace_of(submit: Submit) -> str:
    """The request's W3C trace id: 32 hexadecimal digits."""
    return _digest(submit)[:32]


def traceparent(submit: Submit) -> str:
    """The header of https://www.w3.org/TR/trace-context/, the same for the same submit."""
    digest = _digest(submit)
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def _digest(submit: Submit) -> str:
    return hashlib.sha256(user_of(submit).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """The operator's settings for every submit; `extra` may hold a secret."""

    partials: int
    inline: bool
    extra: ExtraFields = field(repr=False)

    def streams(self, submit: Submit) -> bool:
        """Whether unfinished pictures are requested; Lumenfall streams only a single picture."""
        return self.partials > 0 and submit.count == 1 and submit.provider_request.offer.partials

    def fields(self, submit: Submit) -> dict[str, Any]:
        """A submit's fields, pictures still as `InputPicture`. Easel's own win over the operator's."""
        fields = self._generation(
            submit.provider_request, submit.count, part=submit.part, sources=submit.inputs, mask=submit.mask
        )
        if self.streams(submit):
            fields |= {"stream": True, "partial_images": self.partials}
        return {**fields, "user": user_of(submit)}

    def dry_run_fields(self, provider_request: ProviderRequest, count: int) -> dict[str, Any]:
        """The same for a dry run, without pictures."""
        fields = self._generation(provider_request, count)
        return {name: value for name, value in fields.items() if name not in _NOT_PRICED}

    def _generation(
        self,
        provider_request: ProviderRequest,
        count: int,
        *,
        part: int = 0,
        sources: Sequence[InputPicture] = (),
        mask: InputPicture | None = None,
    ) -> dict[str, Any]:
        return {
            **self.extra,
            **provider_request.body(count, part=part, sources=sources, mask=mask),
            "model": provider_request.offer.model,
            "response_format": "b64_json" if self.inline else "url",
        }


def as_json(fields: Mapping[str, Any]) -> bytes:
    """The body of a generation."""
    return json.dumps(fields).encode()


def as_parts(fields: Mapping[str, Any]) -> list[Part]:
    """The multipart body of an edit: a part for each field and each picture, in order."""
    parts: list[Part] = []
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, InputPicture):
                picture = item.picture
                parts.append((name, (_safe(picture.filename), picture.open(), picture.content_type)))
            else:
                parts.append((name, (None, _text(item), "text/plain; charset=utf-8")))
    return parts


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode(errors="replace").decode()


def _safe(filename: str) -> str:
    """A file name that needs no quoting; its ending is what a provider looks at."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", filename)[-80:]
