"""What stands beside the live page's figures, against arithmetic over the shares themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from services.dashboard.figures import Figures
from services.dashboard.kept import Kept
from services.dashboard.trends import NO_TREND, trend
from services.dashboard.yesterday import delta_cells
from services.warehouse.analysis import Analysis
from services.warehouse.client import StoreUnavailable
from services.warehouse.day_history import HOURS, DaySums, day_before, hourly_rates
from services.warehouse.results import HASHES_PER_DIFFICULTY, MinerTotals

if TYPE_CHECKING:
    from services.tests.dashboard.generated import Generated

# Whichever comes first waits for the generated week.
pytestmark = pytest.mark.timeout(300)

DAY = 86_400


async def test_the_day_before_is_that_of_its_shares(generated: Generated) -> None:
    analysis = Analysis(generated.address, deadline_seconds=120)
    now = generated.end - 777
    then = now - DAY
    found = await day_before(analysis, now)
    await analysis.close()
    day = generated.matching(then - DAY, then)
    accepted = [share for share in day if share.accepted]
    hour = [share for share in accepted if share.ts_ms >= (then - 3600) * 1000]
    assert (found.accepted, found.refused) == (len(accepted), len(day) - len(accepted))
    assert found.hash_rate_60m == pytest.approx(sum(one.credited for one in hour) * HASHES_PER_DIFFICULTY / 3600)
    assert found.best_share == max(one.actual for one in accepted)
    late = {(one.worker, one.pool) for one in hour if one.ts_ms >= (then - 600) * 1000}
    assert found.active_miners == len(late)


@pytest.mark.parametrize("minutes", [0, 20, 50])
async def test_rates_by_the_hour_are_those_of_the_shares(generated: Generated, minutes: int) -> None:
    analysis = Analysis(generated.address, deadline_seconds=120)
    end = generated.end // 3600 * 3600 - 7200 + 60 * minutes
    found = await hourly_rates(analysis, end)
    await analysis.close()
    first = (end - 1) // 3600 * 3600 - (HOURS - 1) * 3600
    assert end - first <= DAY
    sums: dict[tuple[str, str], list[float]] = {}
    for share in generated.matching(first, end, accepted=True):
        hour = (share.ts_ms // 1000 - first) // 3600
        sums.setdefault((share.worker, share.pool), [0.0] * HOURS)[hour] += share.credited
    lengths = [3600] * (HOURS - 1) + [end - first - (HOURS - 1) * 3600]
    assert set(found) == set(sums)
    for key, credited in sums.items():
        expected = [one * HASHES_PER_DIFFICULTY / length for one, length in zip(credited, lengths, strict=True)]
        assert list(found[key]) == pytest.approx(expected)


def test_a_trend_has_a_bar_for_every_hour_with_a_share() -> None:
    drawn = trend([0.0] * 20 + [1e12, 5e11, 1.0, 0.0])
    assert (drawn.best, drawn.heights) == (1e12, "0" * 20 + "zi10")
    assert drawn.path == "M20 35v-35h.8v35zM21 35v-18h.8v18zM22 35v-1h.8v1z"
    assert "1.00 TH/s" in drawn.words
    assert trend([0.0] * HOURS) == NO_TREND


def figures(rate: float, accepted: int, refused: int) -> Figures:
    totals = MinerTotals(accepted=accepted, rejected_by_reason={"stale": refused}, hash_rate_60m=rate)
    return Figures(1_700_000_000, (), (), (), totals)


def test_tiles_are_set_against_yesterday() -> None:
    before = DaySums(accepted=1000, refused=10, hash_rate_60m=2e15, active_miners=3, best_share=1e9)
    cells = delta_cells(figures(2.1e15, 900, 100), before)
    texts = {name.removesuffix("_delta"): cell.text for name, cell in cells.items()}
    assert texts == {
        "hash_rate": "▲ 5.0 % on yesterday",
        "connected": "▼ 3 on yesterday",
        "shares": "▼ 10 % on yesterday",
        "acceptance": "▼ 9.01 points on yesterday",
        "spool": "",
        "best": "the day before: 1.00 G",
    }
    assert "yesterday 2.00 PH/s" in cells["hash_rate_delta"].title
    same = delta_cells(figures(2e15, 1000, 10), before)
    assert same["hash_rate_delta"].text == same["acceptance_delta"].text == "= as yesterday"
    assert delta_cells(figures(4e17, 1000, 10), before)["hash_rate_delta"].text == "▲ 200 times on yesterday"


def test_nothing_is_set_against_a_day_without_shares() -> None:
    nobody = DaySums(0, 0, 0.0, 0, 0.0)
    cells = delta_cells(figures(1e15, 5, 0), nobody)
    assert cells["hash_rate_delta"].text == "no share a day before"
    assert {cell.text for name, cell in cells.items() if name != "hash_rate_delta"} == {""}
    for unknown in (delta_cells(None, nobody), delta_cells(figures(1.0, 1, 0), None)):
        assert {cell.text for cell in unknown.values()} == {""}


async def test_an_answer_is_asked_for_once_a_step_and_kept_while_there_is_none() -> None:
    asked: list[int] = []
    away = False

    async def ask(end: int) -> int:
        asked.append(end)
        await asyncio.sleep(0)
        if away:
            raise StoreUnavailable("away", "unreachable")
        return end

    kept = Kept("test", 60, ask)
    assert kept.at_once(665) is None
    assert list(await asyncio.gather(kept.of(665), kept.soon(666), kept.of(700))) == [660, 660, 660]
    # What has just ended has not settled.
    assert (await kept.of(723), await kept.of(724)) == (660, 720)
    assert asked == [660, 720]
    away = True
    assert (await kept.of(790), await kept.of(791)) == (720, 720)
    assert asked == [660, 720, 780]
    away = False
    assert await kept.of(800) == 780
    assert kept.at_once(850) == kept.last == 780
    assert await kept.of(850) == 840
    assert asked == [660, 720, 780, 780, 840]
