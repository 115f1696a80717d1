"""The short form of services/bench/kills.py: a few kills of each process, at moments that a seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.tests.end_to_end.kill_rig import VICTIMS, plan, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

SEED = 3
KILLS = 2 * len(VICTIMS)


async def test_whatever_is_killed_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    counts = await run(tmp_path, seed=SEED, kills=KILLS, tell=print)
    assert counts["accepted by miners' ledger"] > 200
    assert [counts[f"kills of {victim}"] for victim in VICTIMS] == [2] * len(VICTIMS)


def test_a_seed_decides_who_is_killed() -> None:
    assert plan(1, 200) == plan(1, 200) != plan(2, 200)
    assert {kill.victim for kill in plan(1, 4)} == set(VICTIMS)
