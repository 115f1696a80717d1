"""Which proxies live and who is connected, written as proxies write it and read as the pages read it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from services.tests.conftest import unused_port
from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import StoreUnavailable
from services.warehouse.proxies import ALIVE_SECONDS, PROXY_DIED
from services.warehouse.proxy_state import Heartbeat, PoolState, Session, StateWriter, encode_sessions
from services.warehouse.queries import ProxyPool, Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

# Rows older than 30 days go, so this has to be the present.
NOW = int(time.time())
INSTANCE = str(uuid4())


def make_heartbeat(**changes: Any) -> Heartbeat:
    fields: dict[str, Any] = {
        "ts_ms": NOW * 1000 - 1500,
        "proxy": "proxy-1",
        "instance": INSTANCE,
        "started_ms": (NOW - 3600) * 1000 + 1,
        "stopped": False,
        "version": "0.1.0",
        "miners": 2,
        "spool_rows": 3,
        "spool_bytes": 400,
        "spool_oldest_age_seconds": 0.5,
        "spool_recording": True,
        "unrecorded_shares": 4,
        "loop_lag_seconds": 0.002,
        "pools": (
            PoolState(
                pool_label="normal",
                pool="pool.example:3333",
                state="ready",
                miners=2,
                upstreams=2,
                latency_seconds=0.042,
                connected_ms=NOW * 1000 - 90_000,
            ),
            PoolState(pool_label="high_diff", pool="pool.example:3334", state="idle", miners=0, upstreams=0),
        ),
    }
    return Heartbeat(**(fields | changes))


def make_session(connection: int = 1, **changes: Any) -> Session:
    fields: dict[str, Any] = {
        "updated_ms": NOW * 1000 - 5000,
        "proxy": "proxy-1",
        "instance": INSTANCE,
        "connection": connection,
        "pool_label": "normal",
        "pool": "pool.example:3333",
        "miner": f"10.0.0.1:{40_000 + connection}",
        "workers": ("farm.rig1", "farm.'rig\"2\n"),
        "user_agent": "cgminer/4.12 <script>",
        "connected_ms": (NOW - 600) * 1000 + connection,
        "disconnected_ms": None,
        "disconnect_reason": "",
        "difficulty": 0.25,
        "last_share_ms": NOW * 1000 - 5678,
        "accepted": 12,
        "rejected_by_reason": {"stale": 2, "pool_other": 1},
        "hash_rate": 1.5e13,
        "pool_difficulty": 0.125,
        "best_share": 1e9,
        "last_share_difficulty": 0.5,
    }
    return Session(**(fields | changes))


@pytest.fixture
async def writer(store: ClickHouseAddress) -> AsyncIterator[StateWriter]:
    writer = StateWriter(store)
    yield writer
    await writer.close()


@pytest.fixture
async def queries(store: ClickHouseAddress) -> AsyncIterator[Queries]:
    queries = Queries(store)
    yield queries
    await queries.close()


async def test_what_is_told_comes_out_as_it_was(writer: StateWriter, queries: Queries) -> None:
    heartbeat, session = make_heartbeat(), make_session()
    await writer.write([session], heartbeat)
    (proxy,) = await queries.proxies(NOW)
    assert (proxy.proxy, proxy.instance, proxy.alive, proxy.stopped) == ("proxy-1", INSTANCE, True, False)
    assert (proxy.seen, proxy.started) == (heartbeat.ts_ms / 1000, heartbeat.started_ms / 1000)
    for name in Heartbeat.__struct_fields__[5:-1]:
        assert getattr(proxy, name) == getattr(heartbeat, name), name
    assert proxy.pools == (
        ProxyPool("normal", "pool.example:3333", "ready", 2, 2, 0.042, NOW - 90.0),
        ProxyPool("high_diff", "pool.example:3334", "idle", 0, 0),
    )
    (row,) = await queries.sessions(NOW)
    times = {"updated", "connected", "last_share"}
    for name in Session.__struct_fields__:
        plain = name.removesuffix("_ms")
        if plain in times:
            assert getattr(row, plain) == getattr(session, name) / 1000
        else:
            assert getattr(row, plain) == getattr(session, name), name
    assert row.rejected == 3


async def test_the_latest_word_of_each_counts(writer: StateWriter, queries: Queries, client: AsyncClient) -> None:
    later = make_session(updated_ms=NOW * 1000, accepted=13, last_share_ms=None)
    await writer.write([later], make_heartbeat(miners=7))
    # What comes late does not undo what is newer.
    await writer.write([make_session(), make_session(2)], make_heartbeat(ts_ms=NOW * 1000 - 9000))
    first, second = await queries.sessions(NOW)
    assert (first.accepted, first.last_share, second.accepted) == (13, None, 12)
    assert [proxy.miners for proxy in await queries.proxies(NOW)] == [7]
    await client.command("OPTIMIZE TABLE sessions FINAL")
    await client.command("OPTIMIZE TABLE heartbeats FINAL")
    assert await queries.sessions(NOW) == [first, second]


async def test_a_dead_proxy_takes_its_sessions_with_it(writer: StateWriter, queries: Queries) -> None:
    dead = str(uuid4())
    seen_ms = (NOW - ALIVE_SECONDS - 1) * 1000
    await writer.write([make_session()], make_heartbeat())
    await writer.write([make_session(instance=dead)], make_heartbeat(instance=dead, ts_ms=seen_ms))
    assert [(proxy.instance, proxy.alive) for proxy in await queries.proxies(NOW)] == [(INSTANCE, True), (dead, False)]
    assert [row.instance for row in await queries.sessions(NOW)] == [INSTANCE]
    (ended,) = [row for row in await queries.sessions(NOW, ended_within_seconds=60) if row.instance == dead]
    assert (ended.disconnected, ended.disconnect_reason, ended.hash_rate) == (seen_ms / 1000, PROXY_DIED, 0)
    assert len(await queries.sessions(NOW, alive_seconds=60)) == 2


async def test_a_session_that_ended_is_told_for_as_long_as_asked(writer: StateWriter, queries: Queries) -> None:
    ended_ms = (NOW - 30) * 1000
    ended = make_session(disconnected_ms=ended_ms, disconnect_reason="closed by miner")
    await writer.write([ended], make_heartbeat(stopped=True))
    assert await queries.sessions(NOW) == []
    assert await queries.sessions(NOW, ended_within_seconds=29) == []
    (row,) = await queries.sessions(NOW, ended_within_seconds=30)
    assert (row.disconnected, row.disconnect_reason) == (NOW - 30, "closed by miner")
    (proxy,) = await queries.proxies(NOW)
    assert (proxy.alive, proxy.stopped) == (False, True)


async def test_a_session_whose_proxy_never_told_of_itself_has_ended(
    writer: StateWriter, queries: Queries, client: AsyncClient
) -> None:
    await writer.write([make_session()], make_heartbeat())
    await client.command("TRUNCATE TABLE heartbeats")
    assert await queries.sessions(NOW) == []


async def test_creates_the_schema(database: ClickHouseAddress) -> None:
    writer, queries = StateWriter(database), Queries(database)
    await writer.write([], make_heartbeat())
    assert len(await queries.proxies(NOW)) == 1
    await writer.close()
    await queries.close()


async def test_with_clickhouse_away_it_says_so_soon() -> None:
    writer = StateWriter(ClickHouseAddress(port=unused_port()))
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable):
            await writer.write([], make_heartbeat())
    await writer.close()


def test_a_name_that_has_no_utf8_costs_no_row() -> None:
    body = encode_sessions([replace(make_session(), workers=("\ud800",)), make_session(2)])
    assert len(body.splitlines()) == 2
    assert b'"workers":["?"]' in body


async def test_what_is_30_days_old_goes(writer: StateWriter, client: AsyncClient) -> None:
    for days in (29, 31):
        ms = (NOW - days * 86_400) * 1000
        await writer.write([make_session(days, updated_ms=ms)], make_heartbeat(instance=str(uuid4()), ts_ms=ms))
    for table in ("sessions", "heartbeats"):
        await client.command(f"OPTIMIZE TABLE {table} FINAL")
        result = await client.query(f"SELECT count() FROM {table}")
        assert result.result_rows == [(1,)], table
