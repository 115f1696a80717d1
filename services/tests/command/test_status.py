from __future__ import annotations

import pytest

from services.command.status import line, rate
from services.warehouse.results import PoolStats, WindowSums


@pytest.mark.parametrize(
    ("hashes_per_second", "text"),
    [(0, "0 H/s"), (12.34, "12.3 H/s"), (999.6, "1 kH/s"), (1.234e13, "12.3 TH/s"), (4.1e21, "4.1e+03 EH/s")],
)
def test_three_digits_with_a_prefix(hashes_per_second: float, text: str) -> None:
    assert rate(hashes_per_second) == text


def test_the_line_says_what_was_accepted() -> None:
    five_minutes = WindowSums(300, shares=12, credited=300 * 1000 / 2**32)
    day = WindowSums(86_400, shares=37)
    stats = PoolStats(five_minutes, WindowSums(3600), day, WindowSums(86_400), 1, 0, ("normal",))
    assert line(stats, 2) == "status: 37 shares accepted in 24 h, 1 worker mining, 1 kH/s over 5 min, 2 pools"
