"""What stands in ClickHouse afterwards, and what happens where it cannot be written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from services.proxy.options import Limits
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import sha256d
from services.tests.conftest import run_sql
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import EASIEST, Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from services.tests.proxy.conftest import Started
    from services.warehouse.address import ClickHouseAddress

COLUMNS = (
    "toUnixTimestamp64Milli(ts) AS ts_ms, proxy, pool_label, pool, miner, worker, verdict, reason, pool_difficulty, "
    "pool_requested_difficulty, actual_difficulty, hex(job) AS job, job_id, hex(extranonce1) AS extranonce1, "
    "hex(extranonce2) AS extranonce2, hex(header) AS header, block_hash"
)


def rows(address: ClickHouseAddress, table: str = "shares", columns: str = COLUMNS) -> list[dict[str, Any]]:
    order = "ORDER BY seq" if table == "shares" else ""
    sql = f"SELECT {columns} FROM {address.database}.{table} {order} FORMAT JSONEachRow"
    return [json.loads(line) for line in run_sql(address, sql).splitlines()]


async def test_an_accepted_share(started: Started, store: ClickHouseAddress) -> None:
    async with ScriptedPool() as pool:
        async with started(pool.port, store) as proxy, TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig", f"md={2.0**-30}")
            share = miner.share(await miner.job(), at_least=2.0**-30, worker="farm.rig")
            await miner.ask("mining.submit", share)
            address = miner.address
            ((_, _, extranonce2, *_),) = (await pool.connection()).params("mining.submit")
        pool_address = f"127.0.0.1:{pool.port}"
    (row,) = rows(store)
    header = bytes.fromhex(row["header"])

    assert (row["proxy"], row["pool_label"], row["pool"]) == ("test-proxy", "normal", pool_address)
    assert (row["miner"], row["worker"], row["verdict"], row["reason"]) == (address, "farm.rig", "accepted", "")
    assert (row["pool_difficulty"], row["pool_requested_difficulty"]) == (2.0**-30, EASIEST)
    assert row["actual_difficulty"] == pytest.approx(actual_difficulty(sha256d(header)), rel=1e-12)
    assert row["job_id"] == share[1] != job.job_id
    assert bytes.fromhex(row["job"]) == make_job().content_key()
    assert (row["extranonce1"].lower(), row["extranonce2"].lower()) == ("aabbccdd", extranonce2)
    pools = make_job().header(
        extranonce=bytes.fromhex(row["extranonce1"] + row["extranonce2"]),
        version=job.version,
        ntime=int(share[3], 16),
        nonce=int(share[4], 16),
    )
    assert pools == header
    assert row["block_hash"] == sha256d(header)[::-1].hex()
    (stored,) = rows(store, "jobs", "hex(job) AS job, hex(prevhash) AS prevhash, hex(coinbase1) AS coinbase1")
    assert bytes.fromhex(stored["job"]) == make_job().content_key()
    assert bytes.fromhex(stored["prevhash"]) == make_job().prevhash
    assert bytes.fromhex(stored["coinbase1"]) == make_job().coinbase1


async def test_every_refusal_is_recorded_with_its_reason(started: Started, store: ClickHouseAddress) -> None:
    script = Script(difficulty=2.0**-28)
    async with ScriptedPool(script) as pool:
        async with started(pool.port, store, limits=Limits(verdict_timeout_seconds=1.0)) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner:
                await miner.ask("mining.submit", ["w", "j", "00000000", "00000000", "00000000"])
                job = await miner.start("w")
                good = miner.share(job, worker="w", at_least=2.0**-28)
                await miner.ask("mining.submit", good)
                await miner.ask("mining.submit", good)
                await miner.ask("mining.submit", ["w", "no job", *good[2:]])
                await miner.ask("mining.submit", [*good[:4], "xyz"])
                await miner.ask("mining.submit", ["stranger", *good[1:]])
                await miner.submit(job, worker="w", below=2.0**-28)
                await miner.submit(job, worker="w", ntime=1)
                await miner.submit(job, worker="w", bits=0x1000)
                for code in (20, 21, 22, 23, 24, 25):
                    script.submit = lambda _, code=code: {"result": None, "error": [code, "no", None]}  # type: ignore[misc]
                    await miner.submit(job, worker="w", at_least=2.0**-28, start=code * 100_000)
                script.submit = lambda _: None
                await miner.submit(job, worker="w", at_least=2.0**-28, start=9_000_000)
                upstream = await pool.connection()
                upstream.notify(make_job("next", prevhash=2))
                following = await miner.job()
                await miner.submit(job, worker="w", at_least=2.0**-28, start=9_500_000)
                (connection,) = proxy.listeners["normal"].pool.upstreams
                upstream.drop()
                await until(lambda: not connection.is_alive)
                late = miner.share(following, worker="w", at_least=2.0**-28)
                await miner.ask("mining.submit", late)
    stored = rows(store)

    assert [row["reason"] for row in stored] == [
        "not_subscribed",
        "",
        "duplicate",
        "unknown_job",
        "malformed",
        "unauthorized",
        "low_difficulty",
        "ntime_out_of_range",
        "version_bits",
        "pool_other",
        "pool_stale",
        "pool_duplicate",
        "pool_low_difficulty",
        "pool_unauthorized",
        "pool_not_subscribed",
        "no_verdict",
        "stale",
        "upstream_gone",
    ]
    assert [row["verdict"] for row in stored].count("accepted") == 1
    unread = [row for row in stored if row["reason"] in ("not_subscribed", "unknown_job", "malformed")]
    for row in unread:
        assert (row["header"].strip("0"), row["job"].strip("0"), row["actual_difficulty"]) == ("", "", 0)
        assert row["block_hash"] == ""
    # A stranger can neither credit nor debit a worker of another connection.
    assert [row["worker"] for row in stored if row["reason"] in ("unauthorized", "not_subscribed")] == ["", ""]
    assert {row["key"] for row in rows(store, "jobs", "hex(job) AS key")} == {
        make_job().content_key().hex().upper(),
        make_job("next", prevhash=2).content_key().hex().upper(),
    }


async def test_a_job_is_recorded_once_whoever_mines_it(started: Started, store: ClickHouseAddress) -> None:
    async with ScriptedPool() as pool, started(pool.port, store) as proxy:
        for _ in range(3):
            async with TalkingMiner(miner_port(proxy)) as miner:
                assert (await miner.submit(await miner.start()))["result"] is True
        jobs_recorded = proxy.spool.depth_rows - 3
    assert jobs_recorded <= 1
    assert len(rows(store, "jobs", "hex(job) AS key")) == 1
    assert len(rows(store)) == 3


async def test_with_the_spool_full_the_pools_verdict_still_goes_on_but_is_counted(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port, spool_max_bytes=1) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner, aiohttp.ClientSession() as web:
            job = await miner.start()
            # The job alone fills the spool.
            assert (await miner.submit(job))["result"] is True
            assert (await miner.submit(job, start=999))["result"] is True
            url = f"http://127.0.0.1:{proxy.probes.port}"
            async with web.get(url + "/metrics") as answer:
                metrics = await answer.text()
            async with web.get(url + "/readyz") as answer:
                assert answer.status == 503
                assert "spool" in await answer.text()
            async with web.get(url + "/healthz") as answer:
                assert answer.status == 200
    (line,) = [line for line in metrics.splitlines() if line.startswith("shares_unrecorded_total{")]
    assert float(line.split()[-1]) >= 1


async def test_accepted_is_not_read_before_the_share_is_on_disk(started: Started) -> None:
    async with ScriptedPool() as pool, started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start()
        for number in range(1, 21):
            assert (await miner.submit(job, start=1000 * number))["result"] is True
            assert proxy.spool.recorded_shares == number
