"""The one error of an exchange for which httpx has no class."""

from __future__ import annotations

import httpx


class ResponseTooLarge(httpx.TransportError):
    """A response, or one event of a stream, has more bytes than were allowed for.

    A TransportError, since like the others it means that the request may have been carried out and its response
    is lost; but no NetworkError and no ProtocolError: the service is well, and would send as much again.
    """
