"""Every submitted share is accepted, but true stales: directly and through the proxy, while things happen.

The benchmark accepted_shares does the same with ten thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.demo.options import DemoPoolOptions
from services.tests.miner.mining_rig import MiningRig

if TYPE_CHECKING:
    from pathlib import Path

SHARES = 420


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version_mask", [0x1FFFE000, 0], ids=hex)
@pytest.mark.parametrize("through_proxy", [False, True], ids=["directly", "through the proxy"])
async def test_no_share_is_refused_whatever_happens(tmp_path: Path, through_proxy: bool, version_mask: int) -> None:
    async with MiningRig(tmp_path, through_proxy=through_proxy, version_mask=version_mask) as rig:
        await rig.everything(SHARES)
    outcome = rig.outcome()
    assert outcome.accepted >= SHARES
    assert outcome.faults == (), "none but true stales"
    assert through_proxy or outcome.rejected == 0, "the tip was the same all the time"
    assert outcome.agrees, outcome


@pytest.mark.timeout(600)
@pytest.mark.parametrize("through_proxy", [False, True], ids=["directly", "through the proxy"])
async def test_no_share_is_refused_while_vardiff_is_at_work(tmp_path: Path, through_proxy: bool) -> None:
    options = DemoPoolOptions(data=tmp_path / "pool", port=0, start_difficulty=2.0**-24, network_difficulty=1.0)
    async with MiningRig(tmp_path, through_proxy=through_proxy, options=options) as rig:
        seen: set[float] = set()

        def changed() -> bool:
            job = rig.client.job
            seen.update([job.difficulty] if job is not None else [])
            return len(seen) >= 3

        await rig.until(changed)
        await rig.more(3)
    assert rig.outcome().stale == rig.outcome().rejected
