"""Every figure against plain Python over the same shares, window edges included."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate
from services.warehouse.queries import DAY_SECONDS, MinerTotals, Queries, StoreUnavailable, WindowSums
from services.warehouse.rowbinary import RowEncoder, Stream

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.records import Share

# 37 s past a full hour and ten minutes, so that every kind of edge occurs.
NOW = 1_789_000_000 // 3600 * 3600 + 637
MIDNIGHT = NOW - NOW % DAY_SECONDS
WINDOWS = {
    "last_5m": (NOW - 300, NOW),
    "last_60m": (NOW - 3600, NOW),
    "last_24h": (NOW - DAY_SECONDS, NOW),
    "yesterday": (MIDNIGHT - DAY_SECONDS, MIDNIGHT),
}


def at_the_edges(generator: random.Random) -> list[Share]:
    """Shares on, and a millisecond before, the edges of every window and roll-up bucket there is."""
    edges = {edge for window in WINDOWS.values() for edge in window} | {NOW - 600}
    edges |= {edge // step * step for edge in edges for step in (600, 3600)}
    edges |= {-(-edge // step) * step for edge in edges for step in (600, 3600)}
    return [make_share(generator, ts_ms=edge * 1000 + shift) for edge in edges for shift in (-1, 0, 1, 500)]


@pytest.fixture
async def shares(client: AsyncClient, generator: random.Random) -> list[Share]:
    """Three days of shares in the store."""
    shares = at_the_edges(generator) + [
        make_share(generator, ts_ms=(NOW + 100) * 1000 - generator.randrange(3 * DAY_SECONDS * 1000))
        for _ in range(3000)
    ]
    shares += [make_share(generator, ts_ms=NOW * 1000 - generator.randrange(3_600_000)) for _ in range(500)]
    shares += [
        make_share(generator, ts_ms=NOW * 1000 - 700_000, worker="silent", accepted=True),
        make_share(generator, ts_ms=NOW * 1000 - 1000, worker="refused", accepted=False, reason="stale"),
        make_share(generator, ts_ms=NOW * 1000 - 90_000_000, worker="gone", accepted=True),
    ]
    encoder = RowEncoder(uuid4())
    for first in range(0, len(shares), 1000):
        rows = (encoder.share(share, first + seq) for seq, share in enumerate(shares[first : first + 1000]))
        await insert(client, Stream.SHARES, b"".join(rows))
    return shares


@pytest.fixture
async def queries(store: ClickHouseAddress) -> AsyncIterator[Queries]:
    queries = Queries(store)
    await queries.open()
    yield queries
    await queries.close()


def within(shares: Iterable[Share], window: tuple[int, int], **wanted: object) -> list[Share]:
    return [
        share
        for share in shares
        if window[0] * 1000 <= share.ts_ms < window[1] * 1000
        and all(getattr(share, name) == value for name, value in wanted.items())
    ]


def sums(shares: Iterable[Share], window: tuple[int, int], **wanted: object) -> WindowSums:
    counted = within(shares, window, accepted=True, **wanted)
    return WindowSums(
        window[1] - window[0],
        len(counted),
        sum(share.pool_difficulty for share in counted),
        sum(share.actual_difficulty for share in counted),
    )


def assert_same(found: WindowSums, expected: WindowSums) -> None:
    assert (found.seconds, found.shares) == (expected.seconds, expected.shares)
    assert found.credited == pytest.approx(expected.credited, rel=1e-12)
    assert found.actual == pytest.approx(expected.actual, rel=1e-12)


@pytest.mark.parametrize("pool", [None, "normal", "no such pool"])
async def test_pool_stats(queries: Queries, shares: list[Share], pool: str | None) -> None:
    wanted: dict[str, Any] = {} if pool is None else {"pool_label": pool}
    stats = await queries.pool_stats(NOW, pool)
    for name, window in WINDOWS.items():
        assert_same(getattr(stats, name), sums(shares, window, **wanted))
    seen = {share.worker for share in within(shares, WINDOWS["last_24h"], accepted=True, **wanted)}
    recent = [share for share in shares if share.ts_ms > (NOW - 600) * 1000]
    ok = {share.worker for share in within(recent, (0, NOW), accepted=True, **wanted)}
    assert (stats.ok_workers, stats.off_workers) == (len(ok), len(seen - ok))
    assert stats.pools == {None: ("high_diff", "normal"), "normal": ("normal",)}.get(pool, ())


@pytest.mark.parametrize("pool", [None, "high_diff"])
async def test_worker_stats(queries: Queries, shares: list[Share], pool: str | None) -> None:
    wanted: dict[str, Any] = {} if pool is None else {"pool_label": pool}
    found = await queries.worker_stats(NOW, None, pool)
    counted = within(shares, WINDOWS["last_24h"], accepted=True, **wanted)
    assert [row.worker for row in found] == sorted({share.worker for share in counted})
    for row in found:
        last_ms = max(share.ts_ms for share in counted if share.worker == row.worker)
        assert row.last_share == last_ms // 1000
        assert row.state == ("ok" if last_ms > (NOW - 600) * 1000 else "offline")
        for name in ("last_5m", "last_60m", "last_24h"):
            assert_same(getattr(row, name), sums(shares, WINDOWS[name], worker=row.worker, **wanted))
    if pool is None:
        assert {"silent"} <= {row.worker for row in found if not row.ok}


async def test_worker_stats_of_one(queries: Queries, shares: list[Share]) -> None:
    (row,) = await queries.worker_stats(NOW, "account.rig3", None)
    assert (row.worker, row.state) == ("account.rig3", "ok")
    assert_same(row.last_24h, sums(shares, WINDOWS["last_24h"], worker="account.rig3"))
    for nobody in ("refused", "gone", "account", "' OR 1 = 1 --", "account.rig3\\", "\t\n{x}"):
        assert await queries.worker_stats(NOW, nobody) == []


@pytest.mark.parametrize(
    "name", ["a'b", 'a"b', "tab\there", "back\\slash", "\\N", "{worker:String}", "ü ☃ 名", "", "%s"]
)
async def test_odd_names_are_bound_as_they_are(
    queries: Queries, client: AsyncClient, generator: random.Random, name: str
) -> None:
    encoder = RowEncoder(uuid4())
    share = make_share(generator, ts_ms=NOW * 1000 - 5, accepted=True, worker=name, pool_label=name)
    other = make_share(generator, ts_ms=NOW * 1000 - 5, accepted=True)
    await insert(client, Stream.SHARES, encoder.share(share, 1) + encoder.share(other, 2))
    (row,) = await queries.worker_stats(NOW, name, name)
    assert (row.worker, row.last_5m.shares) == (name, 1)
    assert (await queries.pool_stats(NOW, name)).pools == (name,)


async def test_miners(queries: Queries, shares: list[Share]) -> None:
    rows = await queries.miners(NOW)
    seen = within(shares, WINDOWS["last_24h"])
    keys = [(row.worker, row.pool_label) for row in rows]
    assert keys == sorted({(share.worker, share.pool_label) for share in seen})
    for row in rows:
        wanted = {"worker": row.worker, "pool_label": row.pool_label}
        mine = within(seen, WINDOWS["last_24h"], **wanted)
        accepted = [share for share in mine if share.accepted]
        assert row.accepted == len(accepted)
        assert row.rejected_by_reason == Counter(share.reason for share in mine if not share.accepted)
        assert row.rejected == len(mine) - len(accepted)
        assert row.last_share == max((share.ts_ms / 1000 for share in accepted), default=0)
        assert row.best_share == max((share.actual_difficulty for share in accepted), default=0)
        assert row.hash_rate_5m == pytest.approx(sums(mine, WINDOWS["last_5m"]).hash_rate)
        assert row.hash_rate_60m == pytest.approx(sums(mine, WINDOWS["last_60m"]).hash_rate)
        last_ms = max(share.ts_ms for share in mine)
        last = {share.pool_difficulty for share in mine if share.ts_ms == last_ms}
        assert row.difficulty in (last if last_ms >= (NOW - 300) * 1000 else {0})
        assert row.ok == any(share.ts_ms > (NOW - 600) * 1000 for share in accepted)
    totals = MinerTotals.of(rows)
    assert (totals.accepted, totals.rejected) == (sum(s.accepted for s in seen), sum(not s.accepted for s in seen))
    assert totals.hash_rate_60m == pytest.approx(sums(seen, WINDOWS["last_60m"]).hash_rate)
    assert totals.workers == len({share.worker for share in seen})
    assert "silent" not in {row.worker for row in rows if row.ok}


@pytest.mark.parametrize("pool", [None, "normal"])
async def test_hash_rate_series(queries: Queries, shares: list[Share], pool: str | None) -> None:
    wanted: dict[str, Any] = {} if pool is None else {"pool_label": pool}
    series = await queries.hash_rate_series(NOW, pool=pool)
    assert (series.start, series.step_seconds, len(series.values)) == (NOW // 60 * 60 - 3600, 60, 60)
    for step, value in enumerate(series.values):
        start = series.start + 60 * step
        assert value == pytest.approx(sums(shares, (start, start + 60), **wanted).hash_rate)


async def test_rollups_equal_the_raw_shares(client: AsyncClient, shares: list[Share]) -> None:
    raw = """SELECT {bucket}(s.ts) AS bucket, s.pool_label AS pool_label, s.worker AS worker,
        countIf(s.verdict = 'accepted') AS accepted, countIf(s.verdict = 'rejected') AS rejected,
        sumMapIf(map(toString(s.reason), toUInt64(1)), s.verdict = 'rejected') AS reasons,
        round(sumIf(s.pool_difficulty, s.verdict = 'accepted'), 6) AS credited,
        maxIf(s.actual_difficulty, s.verdict = 'accepted') AS best, maxIf(s.ts, s.verdict = 'accepted') AS last
        FROM shares AS s GROUP BY bucket, pool_label, worker ORDER BY bucket, pool_label, worker"""
    rolled_up = """SELECT r.bucket, r.pool_label, r.worker, sum(r.accepted), sum(r.rejected),
        sumMap(r.rejected_by_reason), round(sum(r.credited_difficulty), 6), max(r.best_share), max(r.last_share)
        FROM {table} AS r GROUP BY r.bucket, r.pool_label, r.worker ORDER BY r.bucket, r.pool_label, r.worker"""
    for table, bucket in (("shares_10m", "toStartOfTenMinutes"), ("shares_1h", "toStartOfHour")):
        expected = await client.query(raw.format(bucket=bucket))
        found = await client.query(rolled_up.format(table=table))
        assert found.result_rows == expected.result_rows
        assert len(found.result_rows) > 100


async def test_an_empty_store_is_zeros(queries: Queries) -> None:
    stats = await queries.pool_stats(NOW, None)
    assert (stats.last_24h, stats.pools, stats.ok_workers) == (WindowSums(DAY_SECONDS), (), 0)
    assert await queries.worker_stats(NOW) == []
    assert await queries.miners(NOW) == []
    assert MinerTotals.of([]) == MinerTotals()
    assert set((await queries.hash_rate_series(NOW)).values) == {0.0}


async def test_no_clickhouse_is_said_at_once(free_port: int) -> None:
    queries = Queries(ClickHouseAddress(port=free_port))
    await queries.open()
    with pytest.raises(StoreUnavailable) as raised:
        await queries.pool_stats(NOW, None)
    assert (raised.value.trouble, raised.value.code) == ("unreachable", None)
    assert not await queries.ping()
    await queries.close()


async def test_a_store_without_schema_is_unavailable(database: ClickHouseAddress) -> None:
    queries = Queries(database)
    with pytest.raises(StoreUnavailable) as raised:
        await queries.miners(NOW)
    assert (raised.value.trouble, raised.value.code) == ("refused", 60)
    await migrate(database)
    assert await queries.miners(NOW) == []
    await queries.close()


@pytest.mark.deadlines
async def test_hangs_and_restarts_are_said_within_two_seconds_and_pass(tmp_path: Path, free_port: int) -> None:
    def server() -> ClickHouseProcess:
        return ClickHouseProcess(EmbeddedOptions(data=tmp_path / "clickhouse", port=free_port, password=PASSWORD))

    running = server()
    await asyncio.to_thread(running.start)
    await migrate(running.address)
    queries = Queries(running.address)
    await queries.pool_stats(NOW, None)

    assert running.process.pid is not None
    os.kill(running.process.pid, signal.SIGSTOP)
    started = time.monotonic()
    answers = await asyncio.gather(*(queries.pool_stats(NOW, None) for _ in range(10)), return_exceptions=True)
    assert {answer.trouble for answer in answers if isinstance(answer, StoreUnavailable)} == {"slow"}
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert time.monotonic() - started < 20
    os.kill(running.process.pid, signal.SIGCONT)
    await recovers(queries)

    await asyncio.to_thread(running.kill)
    with pytest.raises(StoreUnavailable) as raised:
        await queries.worker_stats(NOW)
    assert raised.value.trouble == "unreachable"
    running = server()
    await asyncio.to_thread(running.start)
    await recovers(queries)
    await queries.close()
    await asyncio.to_thread(running.kill)


async def recovers(queries: Queries) -> None:
    async with asyncio.timeout(50):
        while not await queries.ping():
            await asyncio.sleep(0.05)
    await queries.pool_stats(NOW, None)
