"""The distance between two tries."""

from __future__ import annotations

import pytest

from bot.worker.context import RetryPolicy


@pytest.mark.parametrize("asked", [0.0, -5.0, 0.4])
def test_a_job_is_tried_again_after_a_second_and_more_whatever_a_provider_asks_for(asked: float) -> None:
    policy = RetryPolicy()
    for attempts, least in ((1, 1), (2, 1.5), (5, 5), (9, 25), (100, 60)):
        assert least <= policy.wait(attempts, asked) <= max(1.6, 1.3 * least)


def test_a_provider_that_asks_for_a_longer_wait_gets_it_within_bounds() -> None:
    assert RetryPolicy().wait(1, 7) == 7
    assert RetryPolicy().wait(1, 3600) == 300
    assert 2 <= RetryPolicy().wait(1) <= 2.4
