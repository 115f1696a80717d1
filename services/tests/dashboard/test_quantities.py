from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard import quantities


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 H/s"),
        (1, "1 H/s"),
        (9.5e-7, "9.5e-07 H/s"),
        (0.0009765625, "0.000977 H/s"),
        (5.25, "5.25 H/s"),
        (999.4, "999 H/s"),
        (999.5, "1.00 kH/s"),
        (1_000, "1.00 kH/s"),
        (12_345, "12.3 kH/s"),
        (999_499, "999 kH/s"),
        (999_500, "1.00 MH/s"),
        (41.23e15, "41.2 PH/s"),
        (1e30, "1000000 YH/s"),
        (math.inf, "–"),
        (math.nan, "–"),
    ],
)
def test_a_hash_rate_has_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert quantities.hash_rate(value) == text


@given(st.floats(min_value=1, max_value=9.99e26))
def test_si_is_within_half_a_percent_of_the_value(value: float) -> None:
    number, _, prefix = quantities.si(value).partition(" ")
    scale = 1000 ** ["", "k", "M", "G", "T", "P", "E", "Z", "Y"].index(prefix)
    assert float(number) * scale == pytest.approx(value, rel=0.00501)
    assert float(number) < 1000


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.33 %"),
        (9_999_999, 10_000_000, "99.99 %"),
        (1, 10**8, "< 0.01 %"),
    ],
)
def test_percent_says_all_and_none_only_of_all_and_none(part: int, whole: int, text: str) -> None:
    assert quantities.percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0, "0 s"), (119.9, "119 s"), (120, "2 min"), (3599, "59 min"), (3600, "1 h"), (86400, "1 d")],
)
def test_durations_use_the_largest_unit_that_fits(seconds: float, text: str) -> None:
    assert quantities.duration(seconds) == text


def test_counts_and_exact_values_separate_thousands() -> None:
    assert quantities.count(99_999) == "99,999"
    assert quantities.count(100_000) == "100 k"
    assert quantities.exact(1234567.4) == "1,234,567"
    assert quantities.exact(0.25) == "0.25"
    assert quantities.plural(1, "miner") == "1 miner"
    assert quantities.plural(2, "miner") == "2 miners"


def test_moments_are_utc() -> None:
    assert quantities.utc(1749000000) == "2025-06-04 01:20:00 UTC"
