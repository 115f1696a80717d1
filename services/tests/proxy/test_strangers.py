"""Submits in names that nobody authorized: answered and counted, but they fill no store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from services.proxy.gate import Gate
from services.proxy.options import Limits
from services.proxy.row_budget import RowBudget
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started
    from services.tests.proxy.scripted_pool import ScriptedPool


def counted(proxy: Proxy, name: str, **labels: str) -> float:
    return proxy.registry.get_sample_value(f"sharehouse_{name}", {"pool_label": "normal", **labels}) or 0.0


async def test_rows_of_strangers_are_few_and_the_owners_are_all_there(started: Started, pool: ScriptedPool) -> None:
    limits = Limits(unauthorized_rows=3, invalid_shares=1e6)
    async with started(pool.port, limits=limits) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start("me.rig")
        for number in range(10):
            share = miner.share(job, worker="you.rig", start=1000 * number)
            assert (await miner.ask("mining.submit", share))["error"][0] == 24
        assert (await miner.submit(job, worker="me.rig", start=50_000))["result"] is True
        assert counted(proxy, "shares_total", verdict="rejected", reason="unauthorized") == 10
        assert counted(proxy, "shares_unauthorized_unrecorded_total") == 7
        assert proxy.spool.recorded_shares == 4
        async with TalkingMiner(miner_port(proxy)) as silent:
            for _ in range(5):
                assert (await silent.ask("mining.submit", share))["error"][0] == 25
            async with asyncio.timeout(30):
                while proxy.spool.recorded_shares < 7:
                    await asyncio.sleep(0.01)
            assert counted(proxy, "shares_unauthorized_unrecorded_total") == 9


def test_another_limit_holds_from_the_next_minute_on() -> None:
    gate = Gate(Limits(unauthorized_rows=1), CollectorRegistry())
    assert all(gate.strangers_rows.take(0.0) for _ in range(100))
    gate.reconfigure(Limits(unauthorized_rows=2))
    assert not gate.strangers_rows.take(1.0)
    assert [gate.strangers_rows.take(61.0) for _ in range(201)].count(True) == 200


def test_a_budget_is_new_each_minute() -> None:
    budget = RowBudget(2)
    assert [budget.take(at) for at in (5.0, 6.0, 7.0, 64.9, 65.0, 65.1, 66.0)] == [
        *(True, True, False, False),
        *(True, True, False),
    ]
