"""Pictures as they pass through: read, sent to a provider, delivered."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO

from bot.domain.content import Content, DiskReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A checked picture: `stored` is its bytes, `width` and `height` are pixels."""

    stored: Content = field(repr=False)
    content_type: str
    filename: str
    width: int
    height: int
    url: str | None = field(default=None, repr=False)
    """A public link at the provider, for a picture that is too large for the channel."""
    reduced: bool = False
    """Whether it was made smaller to fit the channel; the link leads to the original."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.stored)

    def start(self, size: int) -> bytes:
        """The first bytes."""
        return self.stored[:size] if isinstance(self.stored, bytes) else self.stored.read(size)

    @property
    def content(self) -> bytes:
        """All bytes, in memory."""
        return self.stored if isinstance(self.stored, bytes) else self.stored.read()

    def open(self) -> BytesIO | DiskReader:
        """To be read from the start."""
        return BytesIO(self.stored) if isinstance(self.stored, bytes) else self.stored.open()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """A source picture for a provider. `url` is a public link that is still good, None where there is none."""

    picture: Picture
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """The bytes of a source, and a link to it that a provider may use for a while."""

    content: Content = field(repr=False)
    url: str | None = field(default=None, repr=False)
