"""Blocks: kept whatever is wrong with the share, whatever the pool says, and where shares are refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.tests.conftest import run_sql
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.proxy.test_rows import rows
from services.tests.proxy.test_submit import EASY_BLOCK
from services.tests.waiting import until
from services.warehouse.rowbinary import Stream

if TYPE_CHECKING:
    import pytest

    from services.tests.proxy.conftest import Started
    from services.warehouse.address import ClickHouseAddress

BLOCK = 2.0**-30
COLUMNS = "refusal, pool_verdict, forwarded, worker, hex(header) AS header, block_hash, hex(job) AS job"


def candidates(address: ClickHouseAddress) -> list[dict[str, Any]]:
    return rows(address, "block_candidates FINAL ORDER BY ts", COLUMNS)


async def test_candidates_of_every_fate_are_kept(
    started: Started, store: ClickHouseAddress, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(job=make_job(nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool:
        async with started(pool.port, store) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            upstream = await pool.connection()

            async def submit(start: int, worker: str = "farm.rig") -> None:
                await miner.ask("mining.submit", miner.share(job, worker=worker, at_least=BLOCK, start=start))

            await submit(0)
            twice = miner.share(job, worker="farm.rig", at_least=BLOCK, start=0)
            await miner.ask("mining.submit", twice)
            script.submit = lambda _: {"result": None, "error": [20, "inconclusive", None]}
            await submit(100_000)
            await submit(200_000, "stranger")
            upstream.notify(make_job("next", prevhash=2, nbits=EASY_BLOCK))
            await miner.job()
            script.submit = lambda _: {"result": True, "error": None}
            await submit(300_000)
            (connection,) = proxy.listeners["normal"].pool.upstreams
            upstream.drop()
            await until(lambda: not connection.is_alive)
            await submit(400_000)
            counted = proxy.registry.get_sample_value("sharehouse_block_candidates_total", {"pool_label": "normal"})
            verdicts = [
                proxy.registry.get_sample_value(
                    "sharehouse_block_verdicts_total", {"pool_label": "normal", "verdict": verdict}
                )
                for verdict in ("accepted", "pool_other")
            ]
    assert (counted, verdicts) == (5.0, [2.0, 2.0])
    told = [line for line in capsys.readouterr().out.splitlines() if " block_candidate " in line]
    assert len(told) == 5
    assert all("warning" in line and "header=" in line for line in told)
    kept = candidates(store)
    assert [(row["refusal"], row["pool_verdict"], row["forwarded"], row["worker"]) for row in kept] == [
        ("", "accepted", True, "farm.rig"),
        ("", "pool_other", True, "farm.rig"),
        ("unauthorized", "pool_other", True, ""),
        ("stale", "accepted", True, "farm.rig"),
        ("stale", "", False, "farm.rig"),
    ]
    hashes = {row["block_hash"] for row in rows(store)}
    assert {row["block_hash"] for row in kept} == hashes
    known = {row["key"] for row in rows(store, "jobs", "hex(job) AS key")}
    assert {row["job"] for row in kept} <= known


async def test_a_block_whose_pool_is_gone(started: Started, store: ClickHouseAddress) -> None:
    async with ScriptedPool(Script(job=make_job(nbits=EASY_BLOCK))) as pool:
        async with started(pool.port, store) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            (connection,) = proxy.listeners["normal"].pool.upstreams
            pool.close()
            await until(lambda: not connection.is_alive)
            await miner.ask("mining.submit", miner.share(job, worker="farm.rig", at_least=BLOCK))
    (row,) = candidates(store)
    assert (row["refusal"], row["forwarded"]) == ("upstream_gone", False)
    assert run_sql(store, f"SELECT count() FROM {store.database}.block_candidates").strip() == b"1"


async def test_a_block_is_kept_while_the_spool_refuses_shares(started: Started) -> None:
    async with ScriptedPool(Script(job=make_job(nbits=EASY_BLOCK))) as pool:
        async with started(pool.port, spool_max_bytes=1) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            for start in (0, 100_000):
                share = miner.share(job, worker="farm.rig", at_least=BLOCK, start=start)
                assert (await miner.ask("mining.submit", share))["result"] is True
            assert not proxy.spool.is_recording
            assert proxy.spool.unrecorded_shares > 0
            async with asyncio.timeout(30):
                while proxy.spool.depth_rows < 5:  # a job, two candidates, two verdicts
                    await asyncio.sleep(0.01)
            batch = proxy.spool.held.next_batch(Stream.BLOCK_CANDIDATES, proxy.spool.held.last_commit)
    assert batch is not None
    assert batch.rows == 4


async def test_a_block_that_is_sent_again_reaches_the_pool_again(started: Started) -> None:
    """Nobody but the pool may say that it has a block already."""
    async with ScriptedPool(Script(job=make_job(nbits=EASY_BLOCK))) as pool, started(pool.port) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            share = miner.share(await miner.start(), at_least=BLOCK)
            assert (await miner.ask("mining.submit", share))["result"] is True
            assert (await miner.ask("mining.submit", share))["error"][0] == 22
            first, second = await (await pool.connection()).called("mining.submit", 2)
    assert first == second


async def test_a_strangers_block_goes_up_under_the_name_of_who_is_authorized(started: Started) -> None:
    script = Script(job=make_job(nbits=EASY_BLOCK))
    async with ScriptedPool(script) as pool, started(pool.port, user="wallet.{worker}") as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            assert (await miner.submit(job, worker="farm.spy", at_least=BLOCK))["error"][0] == 24
            upstream = await pool.connection()
            ((user, *_),) = await upstream.called("mining.submit")
    assert user == "wallet.rig"
    assert [name for name, _ in upstream.params("mining.authorize")] == ["wallet.rig"]
