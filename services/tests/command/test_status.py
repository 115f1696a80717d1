from __future__ import annotations

import pytest

from services.command.status import line, rate, trouble
from services.warehouse.queries import StoreUnavailable
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
    stats = PoolStats(five_minutes, WindowSums(3600), day, WindowSums(86_400), 1, 0, ("high_diff", "normal"))
    assert line(stats) == "status: 37 shares accepted in 24 h, 1 worker mining, 1 kH/s over 5 min, 2 pools"


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (StoreUnavailable("refused by 127.0.0.1", "unreachable"), "ClickHouse cannot be reached"),
        (StoreUnavailable("no answer in 1.8 s", "slow"), "ClickHouse answers too slowly for figures"),
        (
            StoreUnavailable("no such table\nmore", "refused", 60),
            "ClickHouse refused to give figures (its error 60: no such table)",
        ),
    ],
)
def test_the_line_tells_apart_how_the_database_fails(error: StoreUnavailable, wanted: str) -> None:
    assert trouble(error) == f"status: {wanted}; shares that it does not take wait in the spool"
