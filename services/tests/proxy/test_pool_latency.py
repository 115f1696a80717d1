from __future__ import annotations

import pytest

from services.proxy.pool_latency import FORGETS_SECONDS, PoolLatency


def test_the_latest_answers_weigh_most_and_old_ones_are_forgotten() -> None:
    latency = PoolLatency()
    assert latency.seconds(0) == 0
    for at in range(10):
        latency.answered(0.1, at)
    assert latency.seconds(10) == pytest.approx(0.1)
    for at in range(100, 110):
        latency.answered(0.3, at)
    assert 0.25 < latency.seconds(110) < 0.3
    assert latency.seconds(110 + 10 * FORGETS_SECONDS) == 0
