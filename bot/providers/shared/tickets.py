"""What every provider's tickets have in common: data of its own that it can read again after a restart."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.domain.errors import TicketLost
from bot.domain.jobs import Ticket


class StoredTicketData(BaseModel):
    """The base of a provider's `TicketData`. Its fields are stored: they keep their names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, ticket: Ticket) -> Self:
        """Read a ticket.

        Raises:
            TicketLost: its data is not this provider's.
        """
        try:
            return cls.model_validate(ticket.data)
        except ValidationError:
            raise TicketLost(detail="ticket unreadable") from None
