"""What ClickHouse is told of a proxy while it runs, and that mining goes on where it cannot be told."""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services import VERSION
from services.proxy import reporter, session_book
from services.proxy.loop_lag import LoopLag
from services.tests.conftest import run_sql
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until
from services.warehouse.queries import Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started
    from services.tests.proxy.scripted_pool import ScriptedPool
    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.queries import ProxyRow, SessionRow


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is told at once."""
    monkeypatch.setattr(reporter, "EVERY_SECONDS", 0.1)
    monkeypatch.setattr(session_book, "EVERY_SECONDS", 0.1)


@pytest.fixture
async def queries(store: ClickHouseAddress) -> AsyncIterator[Queries]:
    queries = Queries(store)
    yield queries
    await queries.close()


async def told(queries: Queries, *, shares: int) -> tuple[ProxyRow, SessionRow]:
    """The one proxy and its one session, once the row says that so many shares were judged."""
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.1)
            now = int(time.time()) + 1
            try:
                (proxy,), (session,) = await asyncio.gather(queries.proxies(now), queries.sessions(now))
            except Exception:  # the schema, or the rows, are not there yet
                continue
            # Its heartbeat is written a moment after the session's row.
            if session.accepted + session.rejected == shares and proxy.miners:
                return proxy, session


async def test_a_connection_is_seen_while_it_lasts_and_after(
    started: Started, pool: ScriptedPool, store: ClickHouseAddress, queries: Queries
) -> None:
    async with started(pool.port, store) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            share = miner.share(job, worker="farm.rig")
            await miner.ask("mining.submit", share)
            await miner.ask("mining.submit", share)
            address = miner.address
            row, session = await told(queries, shares=2)
        assert (row.proxy, row.instance, row.alive) == ("test-proxy", str(proxy.spool.segment), True)
        assert (row.version, row.miners, row.spool_recording) == (VERSION, 1, True)
        ((name, at, state, miners, upstreams),) = [
            (one.pool_label, one.pool, one.state, one.miners, one.upstreams) for one in row.pools
        ]
        assert (name, at, state, miners, upstreams) == ("normal", f"127.0.0.1:{pool.port}", "ready", 1, 1)
        assert (session.miner, session.workers, session.pool_label) == (address, ("farm.rig",), "normal")
        assert (session.user_agent, session.pool) == ("talking/1.0", f"127.0.0.1:{pool.port}")
        assert (session.accepted, dict(session.rejected_by_reason)) == (1, {"duplicate": 1})
        assert session.difficulty > 0
        assert session.hash_rate > 0
        assert session.last_share is not None
        assert session.best_share == session.last_share_difficulty >= session.difficulty
        assert session.pool_difficulty > 0
        assert 0 < row.pools[0].latency_seconds < 10
        assert row.pools[0].connected is not None
        assert abs(row.pools[0].connected - session.connected) < 20
        assert session.connected <= session.last_share <= time.time()
        async with asyncio.timeout(30):
            while proxy.listeners["normal"].connections:
                await asyncio.sleep(0.01)
    now = int(time.time()) + 1
    assert await queries.sessions(now) == []
    (ended,) = await queries.sessions(now, ended_within_seconds=60)
    assert ended.disconnect_reason == "closed by miner"
    (row,) = await queries.proxies(now)
    assert (row.stopped, row.alive, row.miners) == (True, False, 0)


async def test_a_stop_ends_the_sessions(
    started: Started, pool: ScriptedPool, store: ClickHouseAddress, queries: Queries
) -> None:
    async with started(pool.port, store) as proxy:
        miner = TalkingMiner(miner_port(proxy))
        await miner.__aenter__()
        await miner.start()
        await told(queries, shares=0)
    now = int(time.time()) + 1
    assert await queries.sessions(now) == []
    (ended,) = await queries.sessions(now, ended_within_seconds=60)
    assert ended.disconnect_reason == "proxy stopping"
    await miner.__aexit__()


async def test_shares_that_the_spool_could_not_keep_are_told_by_worker(
    started: Started, pool: ScriptedPool, store: ClickHouseAddress, queries: Queries
) -> None:
    async with started(pool.port, store, spool_max_bytes=0) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            job = await miner.start("farm.rig")
            shares = [miner.share(job, start=1000 * number, worker="farm.rig") for number in range(3)]
            for share in (*shares, shares[0]):
                await miner.ask("mining.submit", share)
            _, session = await told(queries, shares=4)
    columns = "pool_label, worker, accepted, rejected, difficulty_accepted"
    sql = f"SELECT {columns} FROM {store.database}.unrecorded_shares FINAL FORMAT JSONEachRow"
    assert json.loads(run_sql(store, sql)) == {
        "pool_label": "normal",
        "worker": "farm.rig",
        "accepted": 3,
        "rejected": 1,
        "difficulty_accepted": pytest.approx(3 * session.difficulty),
    }
    assert run_sql(store, f"SELECT count() FROM {store.database}.shares").strip() == b"0"


async def mines_on(proxy: Proxy) -> None:
    async with TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start()
        for number in range(5):
            assert (await miner.submit(job, start=1000 * number))["result"] is True
            await asyncio.sleep(0.1)


async def test_without_clickhouse_mining_goes_on(
    started: Started, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []

    def has_failed() -> bool:
        told.append(capsys.readouterr().out)
        return "reporting_failed" in "".join(told)

    async with started(pool.port) as proxy:
        await until(has_failed)
        await mines_on(proxy)
    told.append(capsys.readouterr().out)
    assert "".join(told).count("reporting_failed") == 1


@pytest.mark.deadlines
async def test_with_a_clickhouse_that_hangs_mining_goes_on_and_a_stop_is_in_time(
    started: Started, pool: ScriptedPool
) -> None:
    from services.warehouse.address import ClickHouseAddress

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    address = ClickHouseAddress(port=server.sockets[0].getsockname()[1])
    async with started(pool.port, address, drain_seconds=0.2) as proxy:
        await mines_on(proxy)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 15
    server.close()


async def test_a_loop_that_is_held_up_is_seen() -> None:
    seen: list[float] = []
    lag = LoopLag(seen.append)
    await asyncio.sleep(0.3)
    time.sleep(0.6)  # noqa: ASYNC251 - this is what it has to find
    assert lag.worst() > 0.2
    await asyncio.sleep(0.3)
    lag.stop()
    assert max(seen) > 0.2
    assert lag.worst() < max(seen) + 0.2


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
