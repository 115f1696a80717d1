"""The live feed against shares, sessions and heartbeats as proxies write them."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from services.tests.api.conftest import keep
from services.tests.api.known_shares import KnownShare
from services.tests.conftest import run_sql
from services.tests.warehouse.test_proxies import make_heartbeat, make_session
from services.warehouse.feed import REPLAY_SECONDS, SETTLED_SECONDS, Feed, FeedGap, FeedOutage, event_id
from services.warehouse.feed_steps import MOST_NAMED, RATE_SECONDS, STEP_SECONDS, Failover, FeedStep
from services.warehouse.migrate import migrate
from services.warehouse.proxy_state import PoolState, StateWriter
from services.warehouse.queries import Queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.proxy_state import Session


# Rows older than 30 days go, so this has to be the present.
START = int(time.time()) // 600 * 600 - 3600


class Clock:
    """Stands until it is set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def feed_of(address: ClickHouseAddress, clock: Clock) -> AsyncIterator[Feed]:
    queries = Queries(address)
    yield Feed(queries, clock)
    await queries.close()


async def first(feed: Feed, count: int, after: int | None = None) -> list[Any]:
    found = []
    async with asyncio.timeout(50), aclosing(feed.entries(after)) as entries:
        async for entry in entries:
            found.append(entry)
            if len(found) == count:
                break
    return found


def share(ts_ms: int, pool: str = "normal", *, accepted: bool = True, credited: float = 0.5) -> KnownShare:
    return KnownShare(ts_ms, pool, "farm.rig1", accepted, credited, 1.0)


async def tell(address: ClickHouseAddress, sessions: list[Session], *heartbeats: dict[str, Any]) -> None:
    writer = StateWriter(address)
    for number, heartbeat in enumerate(heartbeats or ({},)):
        await writer.write([] if number else sessions, make_heartbeat(**heartbeat))
    await writer.close()


def on(pool: str, ts_ms: int, **changes: Any) -> dict[str, Any]:
    state = PoolState(pool_label="normal", pool=pool, state="ready", miners=1, upstreams=1)
    return {"ts_ms": ts_ms, "pools": (state,), **changes}


async def test_a_step_counts_what_lies_in_it_to_the_millisecond(store: ClickHouseAddress) -> None:
    at = START * 1000
    edge = at - (RATE_SECONDS - STEP_SECONDS) * 1000
    await keep(
        store,
        [
            share(at - 1),
            share(at),
            share(at + 1999, credited=8.0),
            share(at + 2000),
            share(at, accepted=False),
            share(at + 5, "tiny", credited=0.001),
            share(edge, credited=2.0),
            share(edge - 1, credited=100.0),
            share(at - 200_000, "quiet", accepted=False),
        ],
    )
    queries = Queries(store)
    before, step, after = await queries.feed_steps(START - STEP_SECONDS, START + 2 * STEP_SECONDS)
    await queries.close()
    assert (step.start, step.end, step.accepted, step.rejected) == (START, START + 2, 3, 1)
    assert step.accepted_per_second == 1.5
    assert {label: (pool.accepted, pool.rejected) for label, pool in step.pools.items()} == {
        "normal": (2, 1),
        "quiet": (0, 0),
        "tiny": (1, 0),
    }
    assert step.pools["normal"].hash_rate_5m == pytest.approx((0.5 + 0.5 + 8 + 2) * 2**32 / 300)
    assert step.hash_rate_5m == pytest.approx((0.5 + 0.5 + 8 + 2 + 0.001) * 2**32 / 300)
    assert (before.accepted, after.accepted, after.rejected) == (1, 1, 0)
    assert (step.connected, step.disconnected, step.connects, step.failovers) == (0, 0, (), ())


async def test_who_came_who_went_and_which_pool_gave_way(store: ClickHouseAddress) -> None:
    at = START * 1000
    first_process, second = str(uuid4()), str(uuid4())
    stays = make_session(1, connected_ms=at + 1, updated_ms=at + 900)
    told_again = make_session(1, connected_ms=at + 1, updated_ms=at + 1900, workers=("farm.rig9",))
    went = make_session(
        2, connected_ms=at - 9000, disconnected_ms=at + 1500, disconnect_reason="pool lost", updated_ms=at + 1500
    )
    short = make_session(3, connected_ms=at + 10, disconnected_ms=at + 20, disconnect_reason="eof")
    later = make_session(4, connected_ms=at + 2000)
    await tell(
        store,
        [stays, told_again, went, short, later],
        on("main:1", at - 2000, instance=first_process),
        on("backup:2", at + 700, instance=first_process),
        on("backup:2", at + 1700, instance=first_process),
        # Another process of the same proxy stays where it is; it begins in this step, which is no failover.
        on("main:1", at + 100, instance=second, proxy="proxy-1/2"),
        on("main:1", at + 1900, instance=second, proxy="proxy-1/2"),
        on("main:1", at + 2500, instance=first_process),
    )
    queries = Queries(store)
    step, after = await queries.feed_steps(START, START + 2 * STEP_SECONDS)
    await queries.close()
    assert [(one.miner, one.workers, one.reason) for one in step.connects] == [
        ("10.0.0.1:40001", ("farm.rig9",), ""),
        ("10.0.0.1:40003", short.workers, ""),
    ]
    assert [(one.time, one.miner, one.reason) for one in step.disconnects] == [
        (START + 0.02, "10.0.0.1:40003", "eof"),
        (START + 1.5, "10.0.0.1:40002", "pool lost"),
    ]
    assert (step.connected, step.disconnected) == (2, 2)
    assert step.failovers == (Failover(START + 0.7, "proxy-1", "normal", "main:1", "backup:2"),)
    assert after.failovers == (Failover(START + 2.5, "proxy-1", "normal", "backup:2", "main:1"),)
    assert [one.miner for one in after.connects] == ["10.0.0.1:40004"]


async def test_a_crowd_is_counted_and_not_all_named(store: ClickHouseAddress) -> None:
    crowd = [make_session(number, connected_ms=START * 1000 + number) for number in range(MOST_NAMED + 30)]
    await tell(store, crowd)
    queries = Queries(store)
    (step,) = await queries.feed_steps(START, START + STEP_SECONDS)
    await queries.close()
    assert (step.connected, len(step.connects)) == (MOST_NAMED + 30, MOST_NAMED)
    assert step.connects[0].miner == "10.0.0.1:40000"


async def test_whoever_resumes_elsewhere_misses_nothing_and_hears_nothing_twice(store: ClickHouseAddress) -> None:
    await keep(store, [share((START + second) * 1000 + 500) for second in range(20)])
    clock = Clock(START + SETTLED_SECONDS + 4.3)
    async with feed_of(store, clock) as feed:
        (latest,) = await first(feed, 1)
        assert (latest.start, latest.end, latest.accepted) == (START + 2, START + 4, 2)
    clock.now = START + SETTLED_SECONDS + 20.9
    async with feed_of(store, clock) as another:
        missed = await first(another, 8, after=latest.end)
        assert [step.end for step in missed] == list(range(START + 6, START + 21, STEP_SECONDS))
        assert all(step.accepted == 2 for step in missed)
        # An id between two steps, or from the future, is no reason to fail or to leave one out.
        assert (await first(another, 1, after=START + 19))[0].start == START + 18
        listening = asyncio.create_task(first(another, 1, after=10**11))
        await asyncio.sleep(0)
        clock.now += STEP_SECONDS
        assert (await listening)[0].start == START + 20


async def test_what_is_too_old_is_told_as_a_gap(store: ClickHouseAddress) -> None:
    clock = Clock(START + SETTLED_SECONDS)
    async with feed_of(store, clock) as feed:
        gap, step = await first(feed, 2, after=0)
    assert gap == FeedGap(0, START - REPLAY_SECONDS)
    assert isinstance(step, FeedStep)
    assert step.start == START - REPLAY_SECONDS


async def test_fifty_listeners_cost_one_query(store: ClickHouseAddress) -> None:
    asked = []

    class Counting(Queries):
        async def feed_steps(self, start: int, end: int) -> list[FeedStep]:
            asked.append((start, end))
            return await super().feed_steps(start, end)

    queries = Counting(store)
    feed = Feed(queries, Clock(START + SETTLED_SECONDS))
    heard = await asyncio.gather(*(first(feed, 1) for _ in range(50)))
    assert all(one == heard[0] for one in heard)
    assert asked == [(START - STEP_SECONDS, START)]
    resumed = await asyncio.gather(*(first(feed, 30, after=START - 60) for _ in range(50)))
    assert {len(one) for one in resumed} == {30}
    assert asked[1:] == [(START - 60, START - STEP_SECONDS)]
    await queries.close()


async def test_an_outage_is_told_once_and_steps_follow_it(clickhouse: ClickHouseAddress) -> None:
    address = replace(clickhouse, database=f"away_{uuid4().hex}")
    clock = Clock(START + SETTLED_SECONDS)
    async with feed_of(address, clock) as feed, asyncio.timeout(50), aclosing(feed.entries()) as entries:
        outage = await anext(entries)
        assert isinstance(outage, FeedOutage)
        assert (outage.since, outage.trouble) == (clock.now, "refused")
        await migrate(address)
        clock.now += STEP_SECONDS
        step = await anext(entries)
        assert isinstance(step, FeedStep)
        feed.close()
        assert [entry async for entry in entries] == []
    run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


@pytest.mark.parametrize("text", [None, "", "-1", "1.5", "abc", "٣", "1" * 13, "0x10", " 5"])
def test_an_id_that_is_none_of_ours_begins_anew(text: str | None) -> None:
    assert event_id(text) is None
    assert event_id("1749000002") == 1749000002
