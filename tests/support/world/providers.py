"""What tests of several providers share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from tests.support.world.world import FAST_RETRIES, World

MODEL = "gpt-image-1.5"
PERSISTENT_RETRIES = replace(FAST_RETRIES, submit=180)
"""For jobs that must not fail because no provider accepts them for a while."""


def provider_order(*providers: str) -> str:
    """SERVICE_ORDER for the default model."""
    return f"{MODEL}={','.join(providers)}"


def submits(world: World) -> tuple[int, int, int]:
    """How many submits fal, Lumenfall and Oxen received, accepted or not."""
    return world.fal.submits, world.lumenfall.submits, world.oxen.submits


def logged_errors(records: Sequence[logging.LogRecord]) -> list[str]:
    """Messages of level ERROR and above."""
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]
