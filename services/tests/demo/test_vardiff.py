from __future__ import annotations

import math
import random

import pytest

from services.demo.vardiff import Vardiff, WorkRate

HARDEST = 2.0**10
MINIMUM = 2.0**-24


def mine(vardiff: Vardiff, hashes_per_second: float, seconds: float, start: float, seed: int = 1) -> list[float]:
    """Shares as a Poisson process at the current difficulty; gives the times of those found."""
    rng = random.Random(seed)
    now, end = start, start + seconds
    found: list[float] = []
    while True:
        gap = rng.expovariate(hashes_per_second / (vardiff.difficulty * 2**32))
        # As the pool does, look every two seconds where no share comes.
        while gap > 2.0 and now < end:
            now += 2.0
            gap -= 2.0
            if vardiff.retarget(now, HARDEST):
                gap = rng.expovariate(hashes_per_second / (vardiff.difficulty * 2**32))
        now += gap
        if now >= end:
            return found
        found.append(now)
        vardiff.accepted(vardiff.difficulty)
        vardiff.retarget(now, HARDEST)


@pytest.mark.parametrize("rate", [600.0, 6_500.0, 100_000.0, 1.4e6, 70e6])
def test_one_to_five_shares_a_second_whatever_the_miner(rate: float) -> None:
    vardiff = Vardiff(2.0**-20, MINIMUM, 0.0)
    warm_up = mine(vardiff, rate, 60, 0.0)
    assert len(warm_up) < 60 * 20 + 2000, "the way there is short"
    found = mine(vardiff, rate, 300, 60.0)
    assert 1.0 <= len(found) / 300 <= 5.0
    assert math.frexp(vardiff.difficulty)[0] == 0.5, "a power of two"


def test_never_below_the_minimum_nor_above_the_maximum() -> None:
    vardiff = Vardiff(2.0**-20, MINIMUM, 0.0)
    for second in range(0, 400, 2):
        vardiff.retarget(float(second), HARDEST)
    assert vardiff.difficulty == MINIMUM
    for _ in range(1000):
        vardiff.accepted(vardiff.difficulty)
    vardiff.retarget(401.0, 3 * MINIMUM)
    assert vardiff.difficulty == 2 * MINIMUM


def test_a_lower_maximum_pulls_down_even_where_the_rate_is_right() -> None:
    vardiff = Vardiff(1.0, MINIMUM, 0.0)
    for _ in range(20):
        vardiff.accepted(1.0)
    assert vardiff.retarget(10.0, 0.25)
    assert vardiff.difficulty == 0.25


def test_a_suggestion_is_rounded_down_and_bounded() -> None:
    vardiff = Vardiff(2.0**-20, MINIMUM, 0.0)
    for suggested, expected in ((3.7, 2.0), (1e9, HARDEST), (1e-12, MINIMUM)):
        vardiff.start_at(suggested, 0.0, HARDEST)
        assert vardiff.difficulty == expected


def test_the_work_rate_is_right_early_and_forgets() -> None:
    rate = WorkRate(0.0, 0.0)
    assert rate.per_second(0.0) == 0.0
    for step in range(1, 101):
        rate.add(0.5, step * 0.1)
    assert rate.per_second(10.0) == pytest.approx(5.0, rel=0.05)
    for step in range(101, 3001):
        rate.add(0.5, step * 0.1)
    assert rate.per_second(300.0) == pytest.approx(5.0, rel=0.02)
    assert rate.per_second(600.0) < 0.05


def test_a_restart_begins_with_the_rate_of_before() -> None:
    rate = WorkRate(3.0, 100.0)
    assert rate.per_second(100.0) == pytest.approx(3.0)
    assert rate.per_second(160.0) == pytest.approx(3.0 / math.e)
