from __future__ import annotations

from services.miner.backoff import Backoff


def test_doubles_to_a_minute_with_jitter_and_starts_over() -> None:
    backoff = Backoff()
    for longest in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert longest / 2 <= backoff.next_seconds() <= longest
    backoff.reset()
    assert 0.5 <= backoff.next_seconds() <= 1.0
    fresh = {Backoff().next_seconds() for _ in range(20)}
    assert len(fresh) == 20, "no two miners wait equally long"
