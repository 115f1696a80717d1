"""What charts of shares say, against arithmetic done by hand or by simulation."""

from __future__ import annotations

import math
import random

import pytest

from services.dashboard.heat import SHADES, heat_table
from services.dashboard.share_charts import (
    acceptance_chart,
    hash_rate_chart,
    luck_words,
    poisson_band,
    reasons_chart,
    spread_chart,
)
from services.warehouse.results import HASHES_PER_DIFFICULTY
from services.warehouse.share_figures import DifficultySpread, HeatMap, HeatRow, Step, Timeline


def line(*steps: Step, period: tuple[int, int] | None = None) -> Timeline:
    return Timeline(6000, 60, period or (6000, 6000 + 60 * len(steps)), steps)


def test_hash_rate_has_gaps_before_the_first_share_and_at_ends_that_tell_nothing() -> None:
    step = Step(accepted=10, credited=600.0, squares=36_000.0)
    chart = hash_rate_chart(line(Step(), step, Step(), step, step, period=(6000, 6250)))
    rates, means, upper, lower = (trace.values for trace in chart.traces)
    rate = 600 * HASHES_PER_DIFFICULTY / 60
    assert rates == (None, rate, 0.0, rate, None)
    assert means[1] == pytest.approx(1800 / 190 * HASHES_PER_DIFFICULTY)
    assert (means[0], upper[0], lower[4]) == (None, None, None)
    expected, spread = 1800 / 190 * 60, 1.96 * math.sqrt(3 * 36_000 / 190 * 60)
    assert upper[1] == pytest.approx((expected + spread) * HASHES_PER_DIFFICULTY / 60)
    assert lower[1] == pytest.approx((expected - spread) * HASHES_PER_DIFFICULTY / 60)
    assert chart.band == (2, 3)
    assert len(hash_rate_chart(line(step)).traces) == 1
    assert hash_rate_chart(line(Step(), Step())).traces[0].values == (None, None)


def test_acceptance_has_gaps_where_nothing_came() -> None:
    chart = acceptance_chart(line(Step(3, {"stale": 1}), Step(), Step(0, {"stale": 2})))
    assert chart.traces[0].values == (75.0, None, 0.0)


def test_the_most_frequent_reasons_have_names() -> None:
    refused = {f"pool_reason_{number}": 10 - number for number in range(9)}
    chart = reasons_chart(line(Step(0, refused), Step(0, {"pool_reason_0": 1})))
    names = [trace.name for trace in chart.traces]
    assert names == [*(f"pool reason {number}" for number in range(6)), "others"]
    assert chart.traces[0].values == (10.0, 1.0)
    assert chart.traces[-1].values == (4.0 + 3.0 + 2.0, 0.0)
    assert reasons_chart(line(Step(5))).traces == ()


def test_a_spread_by_chance_is_called_so_and_another_is_not() -> None:
    chance = random.Random(5)
    draws = [1 - chance.random() for _ in range(20_000)]
    counts = [0] * 40
    for draw in draws:
        counts[math.floor(-math.log2(draw))] += 1
    spread = DifficultySpread(tuple(counts[: max(k for k in range(40) if counts[k]) + 1]), sum(draws) / len(draws))
    assert luck_words(spread).startswith("As chance has it")
    chart = spread_chart(spread)
    assert chart is not None
    _, expected, high, low = (trace.values for trace in chart.traces)
    assert chart.labels[:3] == ("1×", "2×", "4×")
    assert expected[:3] == (10_000.0, 5_000.0, 2_500.0)
    inside = sum(low[k] <= counts[k] <= high[k] for k in range(len(expected)))  # type: ignore[operator]
    assert inside >= len(expected) - 3
    assert "easier than chance" in luck_words(DifficultySpread((1000,), 0.75))
    assert "harder than chance" in luck_words(DifficultySpread((0, 1000), 0.375))
    assert (spread_chart(DifficultySpread()), luck_words(DifficultySpread())) == (None, "")


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 40.0, 399.0, 401.0, 1e6])
def test_bands_hold_95_percent(mean: float) -> None:
    low, high = poisson_band(mean)
    assert low <= mean <= high or mean < 1
    if mean < 400:
        inside = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(low, high + 1))
        assert 0.95 <= inside < 1
        tail = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(low))
        assert tail <= 0.025


def test_shades_are_by_each_workers_own_best() -> None:
    heat = HeatMap(7200, 3600, (HeatRow("a", (6.0, None, 1.0, 3.01)), HeatRow("<b>", (None, None, 2.0, None))))
    table = heat_table(heat, 7200, 21_600)
    assert (table.columns, table.moments) == (4, (7200, 14_400, 21_600))
    first, second = table.lines
    assert {shade.number: shade.path for shade in first.shades} == {
        1: "M2 0h1v1h-1z",
        4: "M3 0h1v1h-1z",
        SHADES: "M0 0h1v1h-1z",
    }
    assert (first.rates, first.best) == ((6.0, 0.0, 1.0, 3.01), 6.0)
    # Of its last step an eighth alone lies in the period, by which nobody is judged.
    late = heat_table(HeatMap(7200, 3600, (HeatRow("a", (1.0, 2.0, 16.0)),)), 7200, 14_850).lines[0]
    assert (late.best, [shade.number for shade in late.shades]) == (2.0, [3, 6])
    assert second.words == "at most 2 H/s; 3 of 4 steps without an accepted share"
