"""What is told of one worker, of the pools and of blocks, against what was written."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.tests.warehouse.rows import display_hash, make_block_candidate, make_found_block, make_share
from services.tests.warehouse.test_proxies import make_heartbeat, make_session
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.analysis import Analysis
from services.warehouse.blocks import latest_blocks
from services.warehouse.pool_history import PoolAddress, pool_addresses, pool_changes, pool_steps, told_since
from services.warehouse.proxies import PROXY_DIED
from services.warehouse.proxy_state import PoolState, StateWriter
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_query import ShareQuery
from services.warehouse.worker_history import Silence, named_workers, pool_parts, silences, worker_sessions

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress


NOW = int(time.time()) // 600 * 600
NAME = "farm.'rig\"2\n"


@pytest.fixture
async def analysis(store: ClickHouseAddress) -> AsyncIterator[Analysis]:
    analysis = Analysis(store)
    yield analysis
    await analysis.close()


def pool_state(label: str, pool: str, state: str = "ready", miners: int = 3, latency: float = 0.0) -> PoolState:
    return PoolState(pool_label=label, pool=pool, state=state, miners=miners, upstreams=1, latency_seconds=latency)


async def test_changes_of_pools(store: ClickHouseAddress, analysis: Analysis) -> None:
    assert await told_since(analysis) is None
    writer = StateWriter(store)
    told = [
        (-7000, pool_state("normal", "old:1")),
        (-900, pool_state("normal", "first:1")),
        (-898, pool_state("normal", "first:1")),
        (-896, pool_state("normal", "first:1", "away")),
        (-894, pool_state("normal", "second:1", miners=7, latency=0.25)),
        (-892, pool_state("normal", "second:1", "idle", 0)),
        (-890, pool_state("normal", "second:1", latency=0.75)),
        (-600, pool_state("normal", "first:1")),
        (-2, pool_state("normal", "first:1")),
    ]
    for seconds, pool in told:
        # A restart changes the instance and is no change of the pool.
        beat = make_heartbeat(ts_ms=(NOW + seconds) * 1000, instance=str(uuid4()), pools=(pool,))
        await writer.write([], beat)
    await writer.write(
        [], make_heartbeat(proxy="other", ts_ms=(NOW - 895) * 1000, pools=(pool_state("normal", "x:1"),))
    )
    await writer.close()

    changes = await pool_changes(analysis, NOW - 1000, NOW)
    assert [(one.at - NOW, one.pool_before, one.state_before, one.pool, one.state, one.moved) for one in changes] == [
        (-600, "second:1", "ready", "first:1", "ready", True),
        (-894, "first:1", "away", "second:1", "ready", True),
        (-896, "first:1", "ready", "first:1", "away", False),
    ]
    assert {(one.proxy, one.pool_label) for one in changes} == {("proxy-1", "normal")}
    assert [one.at - NOW for one in await pool_changes(analysis, NOW - 1000, NOW - 700)] == [-894, -896]
    assert await told_since(analysis) == NOW - 7000
    steps = (await pool_steps(analysis, NOW - 1200, NOW, 600))["normal"]
    assert {number: (step.away, step.miners, step.latency_seconds) for number, step in steps.items()} == {
        0: (pytest.approx(1 / 7), 7, 0.5),
        1: (0.0, 3, 0.0),
    }


async def test_addresses_of_pools(client: AsyncClient, generator: random.Random, analysis: Analysis) -> None:
    encoder = RowEncoder(uuid4())
    facts = [("a:1", -50, True), ("a:1", -40, False), ("a:1", -30, True), ("b:1", -20, True), ("c:1", -90, True)]
    made = [
        make_share(generator, ts_ms=(NOW + at) * 1000, pool=pool, pool_label="normal", accepted=accepted)
        for pool, at, accepted in facts
    ]
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(made)))
    assert await pool_addresses(analysis, NOW - 60, NOW) == (
        PoolAddress("normal", "a:1", 2, 1, NOW - 50, NOW - 30),
        PoolAddress("normal", "b:1", 1, 0, NOW - 20, NOW - 20),
    )


async def test_sessions_of_a_worker(store: ClickHouseAddress, analysis: Analysis) -> None:
    writer = StateWriter(store)
    dead = str(uuid4())
    fresh: dict[str, Any] = {"updated_ms": NOW * 1000}
    sessions = [
        make_session(1, connected_ms=(NOW - 500) * 1000, **fresh),
        make_session(2, connected_ms=(NOW - 400) * 1000, disconnected_ms=(NOW - 300) * 1000, **fresh),
        make_session(3, connected_ms=(NOW - 90_000) * 1000, disconnected_ms=(NOW - 80_000) * 1000, **fresh),
        make_session(4, workers=("somebody else",), **fresh),
        make_session(5, connected_ms=(NOW - 700) * 1000, instance=dead, **fresh),
    ]
    await writer.write(sessions, make_heartbeat(ts_ms=NOW * 1000, pools=()))
    await writer.write([], make_heartbeat(ts_ms=(NOW - 600) * 1000, instance=dead, pools=()))
    await writer.close()
    found = await worker_sessions(analysis, NAME, NOW - 70_000, NOW, NOW)
    assert [(one.connection, one.disconnected, one.disconnect_reason) for one in found] == [
        (2, NOW - 300, ""),
        (1, None, ""),
        (5, NOW - 600, PROXY_DIED),
    ]
    assert [one.connection for one in await worker_sessions(analysis, NAME, NOW - 86_400, NOW, NOW, most=1)] == [2]
    assert [one.connection for one in await worker_sessions(analysis, NAME, NOW - 100_000, NOW - 85_000, NOW)] == [3]
    assert await worker_sessions(analysis, "' OR 1 = 1 --", 0, NOW, NOW) == ()


async def test_a_workers_silences_and_its_part(
    client: AsyncClient, generator: random.Random, analysis: Analysis
) -> None:
    moments = [NOW - 5000, NOW - 4401, NOW - 3801, NOW - 3800, NOW - 3000, NOW - 30]
    made = [make_share(generator, ts_ms=at * 1000, worker=NAME, accepted=True) for at in moments]
    made.append(make_share(generator, ts_ms=(NOW - 1000) * 1000, worker=NAME, accepted=False))
    made += [make_share(generator, ts_ms=(NOW - 1000) * 1000, worker="other") for _ in range(200)]
    encoder = RowEncoder(uuid4())
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(made)))
    query = ShareQuery(NOW - 7200, NOW, worker=NAME, verdict="accepted")
    assert await silences(analysis, query) == (
        Silence(NOW - 3000, NOW - 30),
        Silence(NOW - 3800, NOW - 3000),
        Silence(NOW - 4401, NOW - 3801),
    )
    assert await silences(analysis, query, least_seconds=2000) == (Silence(NOW - 3000, NOW - 30),)

    everybody = ShareQuery(NOW - 7200, NOW)
    accepted = [share for share in made if share.accepted]
    for part in await pool_parts(analysis, everybody, NAME):
        of_pool = [share for share in accepted if share.pool_label == part.pool_label]
        own = [share.pool_difficulty for share in of_pool if share.worker == NAME]
        assert math.isclose(part.own, math.fsum(own))
        assert math.isclose(part.whole, math.fsum(share.pool_difficulty for share in of_pool))
    assert await pool_parts(analysis, everybody, "nobody") == ()

    names = await named_workers(analysis, everybody)
    assert {one.worker: one.accepted for one in names} == {NAME: 6, "other": len(accepted) - 6}
    assert {one.worker: one.last for one in names}[NAME] == NOW - 30


async def test_blocks(client: AsyncClient, generator: random.Random, analysis: Analysis) -> None:
    nothing = await latest_blocks(analysis)
    assert (nothing.candidates, nothing.candidates_total, nothing.found, nothing.found_total) == ((), 0, (), 0)
    encoder = RowEncoder(uuid4())
    candidates = [make_block_candidate(generator, ts_ms=NOW * 1000 + number) for number in range(3)]
    judged = [
        make_block_candidate(
            generator, ts_ms=one.ts_ms, updated_ms=one.updated_ms + 5, header=one.header, pool_verdict="accepted"
        )
        for one in candidates[:2]
    ]
    body = b"".join(encoder.block_candidate(one) for one in (*candidates, *judged))
    await insert(client, Stream.BLOCK_CANDIDATES, body)
    found = [make_found_block(generator, ts_ms=NOW * 1000 + number) for number in range(2)]
    await insert(client, Stream.FOUND_BLOCKS, b"".join(encoder.found_block(one) for one in found))
    blocks = await latest_blocks(analysis, most=2)
    assert (blocks.candidates_total, blocks.found_total) == (3, 2)
    assert [(one.block_hash, one.pool_verdict) for one in blocks.candidates] == [
        (display_hash(candidates[2].header), ""),
        (display_hash(candidates[1].header), "accepted"),
    ]
    assert [one.hash for one in blocks.found] == [found[1].hash, found[0].hash]
