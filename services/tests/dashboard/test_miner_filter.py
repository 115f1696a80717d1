"""Which miners the server shows, for whoever has no JavaScript."""

from __future__ import annotations

import pytest

from services.dashboard.charts import Chart, Trace
from services.dashboard.drawing import draw
from services.dashboard.miner_filter import MinerFilter
from services.dashboard.miners import Miner, State


def miner(worker: str, *, pool: str = "normal", state: State = "active", accepted: int = 1, rate: float = 1.0) -> Miner:
    address = f"10.0.0.{len(worker)}:1"
    return Miner(worker, pool, state, rate, accepted, {"stale": 1}, 1.0, 1.0, 9, 2.0, "cgminer", 1, address)


MINERS = (
    miner("B", rate=3.0),
    miner("a", accepted=9, rate=2.0),
    miner("cc", pool="high_diff", state="silent"),
    miner("<script>", state="left"),
)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ["B", "a", "cc"]),
        ({"state": "all"}, ["B", "a", "<script>", "cc"]),
        ({"state": "left"}, ["<script>"]),
        ({"pool": "high_diff"}, ["cc"]),
        ({"q": "CC"}, ["cc"]),
        ({"q": "10.0.0.1:"}, ["B", "a"]),
        ({"q": "nobody"}, []),
        ({"sort": "worker"}, ["a", "B", "cc"]),
        ({"sort": "-rate", "state": "active"}, ["a", "B"]),
        ({"sort": "__class__", "state": "nonsense", "page": "-1"}, ["B", "a", "cc"]),
    ],
)
def test_filters_and_order(asked: dict[str, str], names: list[str]) -> None:
    assert [one.worker for one in MinerFilter.of(asked).chosen(MINERS)] == names


def test_a_filter_is_its_url() -> None:
    asked = MinerFilter.of({"q": "a&b", "state": "silent", "page": "3"})
    assert asked.url() == "?q=a%26b&state=silent"
    assert asked.url(page=4) == "?q=a%26b&state=silent&page=4"
    assert asked.url(state="", q="") == "?"


def test_a_drawing_has_gaps_stacks_and_words() -> None:
    gap = Chart(0, 60, (Trace("all", (1.0, None, 3.0, 4.0), kind="area"),), "H/s")
    drawn = draw(gap, "Hash rate")
    assert [path.kind for path in drawn.paths] == ["wash", "stroke", "wash", "stroke"]
    assert drawn.label == "Hash rate: all lowest 1 H/s, highest 4 H/s, last 4 H/s"
    bars = tuple(Trace(name, (1.0, 2.0), ink="bad", kind="bars") for name in ("stale", "accepted"))
    stacked = draw(Chart(0, 60, bars, stacked=True), "Shares")
    # The topmost is behind: two shares of each reach to 4 of 4.4.
    assert "V14.5h" in stacked.paths[0].data
    assert draw(None, "Nothing").label == "Nothing: no data"
