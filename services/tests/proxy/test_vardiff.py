"""Miners of any hash rate are brought to the wanted pace, soon, and without a flood on the way."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.vardiff import BURST_SHARES, Vardiff, VardiffOptions

if TYPE_CHECKING:
    from collections.abc import Callable

HASHES_PER_DIFFICULTY = 2**32
HASH_RATES = st.floats(4.0, 16.0).map(lambda exponent: 10.0**exponent)


class SimulatedMiner:
    """Finds shares at a hash rate; obeys a new difficulty at once. ``luck`` gives the next share's interval / mean."""

    def __init__(self, vardiff: Vardiff, hash_rate: float, luck: Callable[[], float] = lambda: 1.0) -> None:
        self.vardiff = vardiff
        self.shares: list[float] = []
        self._work_per_second = hash_rate / HASHES_PER_DIFFICULTY
        self._luck = luck

    def mine(self, start: float, seconds: float) -> None:
        """Mines from ``start`` on, as long as there are not senselessly many shares."""
        now, end, vardiff = start, start + seconds, self.vardiff
        left = self._luck()
        while now < end and len(self.shares) < 100_000:
            difficulty = vardiff.difficulty
            pace = self._work_per_second / difficulty
            found, due = now + left / pace, vardiff.due
            if due < found:
                # What was hashed so far was for nothing: luck has no memory, and evenly spaced shares need none.
                now = max(now, due)
                vardiff.look(now)
            else:
                now = found
                self.shares.append(now)
                vardiff.accepted(difficulty, now)
            left = self._luck()

    def pace(self, since: float, until: float, target_seconds: float) -> float:
        """Shares per target_seconds."""
        return sum(since <= share < until for share in self.shares) / (until - since) * target_seconds

    def most_in_ten_seconds(self) -> int:
        return max(Counter(share // 10 for share in self.shares).values(), default=0)


def is_power_of_two(value: float) -> bool:
    return math.frexp(value)[0] == 0.5


@given(HASH_RATES)
def test_over_twelve_orders_of_hash_rate_the_pace_is_right_after_ten_minutes_and_there_is_never_a_flood(
    hash_rate: float,
) -> None:
    options = VardiffOptions()
    miner = SimulatedMiner(Vardiff(options, 0.0), hash_rate)
    miner.mine(0.0, 1800.0)

    assert 0.45 <= miner.pace(600.0, 1800.0, options.target_seconds) <= 4.0
    # Two bursts at the most before the difficulty is right, and then the pace.
    assert miner.most_in_ten_seconds() <= 2 * BURST_SHARES + 4


@pytest.mark.parametrize("exponent", range(4, 17))
def test_luck_changes_little(exponent: int) -> None:
    options = VardiffOptions()
    luck = random.Random(exponent)
    miner = SimulatedMiner(Vardiff(options, 0.0), 10.0**exponent, lambda: luck.expovariate(1.0))
    miner.mine(0.0, 3600.0)

    assert 0.4 <= miner.pace(1200.0, 3600.0, options.target_seconds) <= 4.0
    assert miner.most_in_ten_seconds() <= 4 * BURST_SHARES


@given(HASH_RATES, HASH_RATES)
def test_a_miner_whose_hash_rate_changes_is_followed_without_a_flood(before: float, after: float) -> None:
    options = VardiffOptions()
    vardiff = Vardiff(options, 0.0)
    SimulatedMiner(vardiff, before).mine(0.0, 1200.0)
    changed = SimulatedMiner(vardiff, after)
    changed.mine(1200.0, 3600.0)

    assert 0.45 <= changed.pace(3600.0, 4800.0, options.target_seconds) <= 4.0
    assert changed.most_in_ten_seconds() <= 4 * BURST_SHARES


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("share"), st.floats(0.0, 100.0), st.floats(2.0**-40, 2.0**80)),
            st.tuples(st.just("look"), st.floats(0.0, 1e5), st.just(0.0)),
            st.tuples(st.just("start"), st.floats(0.0, 10.0), st.floats(2.0**-60, 2.0**100)),
            st.tuples(st.just("pool"), st.floats(0.0, 10.0), st.floats(2.0**-48, 2.0**80)),
        ),
        max_size=80,
    ),
    st.floats(2.0**-30, 2.0**20),
    st.floats(2.0, 2.0**20),
)
def test_it_is_a_power_of_two_within_its_bounds_and_never_above_the_pools(
    steps: list[tuple[str, float, float]], least: float, times: float
) -> None:
    options = VardiffOptions(min=least, max=least * times)
    vardiff, now = Vardiff(options, 0.0), 0.0
    for what, seconds, value in steps:
        now += seconds
        match what:
            case "share":
                vardiff.accepted(value, now)
            case "look":
                vardiff.look(now)
            case "start":
                vardiff.start_at(value, now)
            case "pool":
                vardiff.ceiling = value
        assert is_power_of_two(vardiff.difficulty)
        assert vardiff.difficulty <= min(vardiff.ceiling, options.max)
        # Below the least only where the pool itself is.
        assert vardiff.difficulty >= options.min or 2 * vardiff.difficulty > vardiff.ceiling
        assert vardiff.due > now - 1e-6 or what != "look"


def test_a_suggestion_is_rounded_down_and_counts_at_once() -> None:
    vardiff = Vardiff(VardiffOptions(), 0.0)
    vardiff.start_at(0.00015, 1.0)
    assert vardiff.difficulty == 2.0**-13
    vardiff.ceiling = 2.0**-14
    assert vardiff.difficulty == 2.0**-14


def test_where_the_pool_lets_it_a_difficulty_returns_to_what_it_was() -> None:
    vardiff = Vardiff(VardiffOptions(start=1024.0), 0.0)
    vardiff.ceiling = 100.0
    assert vardiff.difficulty == 64.0
    vardiff.ceiling = 5000.0
    assert vardiff.difficulty == 1024.0


def test_late_shares_of_an_easier_job_do_not_raise_it_further() -> None:
    vardiff = Vardiff(VardiffOptions(start=1.0), 0.0)
    for share in range(BURST_SHARES):
        vardiff.accepted(1.0, 1.0 + share / BURST_SHARES)
    raised = vardiff.difficulty
    assert raised >= 64.0
    for share in range(100):
        vardiff.accepted(1.0, 2.0 + share / BURST_SHARES)
    assert vardiff.difficulty == raised


@pytest.mark.parametrize(
    "wrong",
    [{"min": 0.0}, {"max": math.inf}, {"target_seconds": -1.0}, {"window_seconds": 9.0}, {"min": 3.0, "max": 3.9}],
)
def test_options_that_cannot_stand_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="vardiff"):
        VardiffOptions(**wrong)
