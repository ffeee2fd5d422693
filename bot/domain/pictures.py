"""Pictures as they pass through: read, sent to a provider, delivered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A checked picture: `content` is its bytes, `width` and `height` are pixels."""

    content: bytes = field(repr=False)
    content_type: str
    filename: str
    width: int
    height: int
    url: str | None = field(default=None, repr=False)
    """Where the service serves it publicly, for a picture that no channel takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """A picture on its way to a service. `url` is a public link that is still good, where there is one."""

    picture: Picture
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """What reading a source gave: its bytes, and a link to it that a service may use for a while."""

    content: bytes = field(repr=False)
    url: str | None = field(default=None, repr=False)
