"""One pair of picture processes for all tests of a run, since each takes a fifth of a second to start."""

from __future__ import annotations

from bot.pictures.pictures import PROCESSES, Pictures
from bot.pictures.processes import Processes

SHARED = Processes(PROCESSES)
"""Started for the first picture, closed after the last test."""


def open_pictures() -> Pictures:
    """Pictures for one test or one event loop, in the shared processes. They need not be closed."""
    return Pictures(SHARED)
