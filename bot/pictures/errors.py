"""Why a picture process did not do a task; none of these is seen by a member."""

from __future__ import annotations


class TooHeavy(Exception):
    """The task takes more memory than it was given."""


class ProcessEnded(Exception):
    """The process ended before its answer."""


class TookTooLong(ProcessEnded):
    """It was killed for it."""
