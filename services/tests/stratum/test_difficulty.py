from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.difficulty import (
    DIFFICULTY_1_TARGET,
    MAX_TARGET,
    actual_difficulty,
    bits_to_target,
    difficulty_of,
    power_of_two_at_most,
    target_of,
    target_to_bits,
)

targets = st.integers(min_value=1, max_value=MAX_TARGET)
difficulties = st.floats(min_value=2.0**-32, max_value=2.0**192)


def test_difficulty_1() -> None:
    assert target_of(1) == bits_to_target(bytes.fromhex("1d00ffff")) == DIFFICULTY_1_TARGET
    assert difficulty_of(DIFFICULTY_1_TARGET) == 1.0


@given(difficulties)
def test_target_is_the_largest_value_that_meets_the_difficulty(difficulty: float) -> None:
    target = target_of(difficulty)
    assert target * Fraction(difficulty) <= DIFFICULTY_1_TARGET
    assert target == MAX_TARGET or (target + 1) * Fraction(difficulty) > DIFFICULTY_1_TARGET


@given(targets)
def test_actual_difficulty_is_the_nearest_float(value: int) -> None:
    exact = Fraction(DIFFICULTY_1_TARGET, value)
    assert actual_difficulty(value.to_bytes(32, "little")) == float(exact)


def test_a_hash_of_zero_has_a_difficulty() -> None:
    assert actual_difficulty(bytes(32)) == float(DIFFICULTY_1_TARGET)


@pytest.mark.parametrize("difficulty", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_difficulties_are_refused(difficulty: float) -> None:
    with pytest.raises(ValueError, match="finite number above 0"):
        target_of(difficulty)


@given(targets)
def test_compact_bits_round_down_and_come_back(target: int) -> None:
    compact = bits_to_target(target_to_bits(target))
    assert compact <= target
    assert target_to_bits(compact) == target_to_bits(target)
    assert target - compact < max(1, target >> 15)


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        ("1d80ffff", "negative"),
        ("00ffff00", "negative"),
        ("1d000000", "zero"),
        ("01003456", "zero"),
        ("2100ffff", None),
        ("2200ffff", "above"),
        ("ff7fffff", "above"),
    ],
)
def test_bad_compact_bits(bits: str, why: str | None) -> None:
    if why is None:
        assert bits_to_target(bytes.fromhex(bits)) == 0xFFFF << 240
        return
    with pytest.raises(ValueError, match=why):
        bits_to_target(bytes.fromhex(bits))


def test_small_exponents_shift_right() -> None:
    # Vectors of Bitcoin's own arith_uint256 tests.
    assert bits_to_target(bytes.fromhex("01123456")) == 0x12
    assert bits_to_target(bytes.fromhex("02123456")) == 0x1234
    assert bits_to_target(bytes.fromhex("04123456")) == 0x12345600
    assert bits_to_target(bytes.fromhex("20123456")) == 0x123456 << 232


@given(difficulties)
def test_power_of_two(difficulty: float) -> None:
    power = power_of_two_at_most(difficulty)
    assert power <= difficulty < 2 * power
    assert power.as_integer_ratio()[0] & (power.as_integer_ratio()[0] - 1) == 0
