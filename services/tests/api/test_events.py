"""GET /api/events, as a client reads it: over a socket, again by the id that it saw last, while the service ends."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from services.api.options import ApiOptions
from services.api.server import serve
from services.tests.api.conftest import ADMIN, READ, api, keep
from services.tests.api.known_shares import KnownShare
from services.tests.api.test_access import assert_error
from services.tests.conftest import unused_port
from services.tests.serving import running
from services.tests.warehouse.test_feed import on, tell
from services.tests.warehouse.test_proxies import make_session
from services.warehouse.feed import MOST_LISTENERS, SETTLED_SECONDS, Feed, FeedOutage
from services.warehouse.feed_steps import FeedStep
from services.warehouse.queries import Queries

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.proxy_state import Session


START = int(time.time()) // 600 * 600 - 3600


async def read_events(client: httpx.AsyncClient, count: int, **headers: str) -> list[dict[str, Any]]:
    """The first `count` events: event, id and data."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(50), client.stream("GET", "/api/events", headers={**READ, **headers}) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        fields: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = json.loads(value) if name == "data" else value
            elif "data" in fields:
                found.append(fields)
                fields = {}
            if len(found) == count:
                break
    return found


async def test_a_stream_tells_the_latest_step_and_resumes_by_its_id(store: ClickHouseAddress) -> None:
    shares = [KnownShare((START + n) * 1000, "normal", "w", n != 7, 3.0, 4.0) for n in range(10)]
    await keep(store, shares)
    async with api(store, now=START + 4 + SETTLED_SECONDS) as client:
        (event,) = await read_events(client, 1)
    assert (event["event"], event["id"], event["retry"]) == ("step", str(START + 4), "2000")
    rate = 4 * 3 * 2**32 / 300 / 1e9
    assert event["data"] == {
        "start": START + 2,
        "end": START + 4,
        "shares_accepted": 2,
        "shares_rejected": 0,
        "accepted_per_second": 1.0,
        "hash_rate_unit": "Gh/s",
        "hash_rate_5m": rate,
        "pools": {"normal": {"shares_accepted": 2, "shares_rejected": 0, "hash_rate_5m": rate}},
        "connected": 0,
        "disconnected": 0,
        "connects": [],
        "disconnects": [],
        "failovers": [],
    }
    async with api(store, now=START + 10 + SETTLED_SECONDS) as client:
        resumed = await read_events(client, 3, **{"Last-Event-ID": event["id"]})
        assert [one["id"] for one in resumed] == [str(START + second) for second in (6, 8, 10)]
        assert [one["data"]["shares_accepted"] for one in resumed] == [2, 1, 2]
        assert [one["data"]["shares_rejected"] for one in resumed] == [0, 1, 0]
        (newest,) = await read_events(client, 1, **{"Last-Event-ID": "nonsense"})
        assert newest["id"] == str(START + 10)


async def test_a_step_names_who_came_who_went_and_which_pool_gave_way(store: ClickHouseAddress) -> None:
    at = START * 1000
    came = make_session(1, connected_ms=at + 125)
    went = make_session(
        2, connected_ms=at - 9000, disconnected_ms=at + 1500, disconnect_reason="pool lost", updated_ms=at + 1500
    )
    await tell(store, [came, went], on("main:1", at - 2000), on("backup:2", at + 700))
    async with api(store, now=START + 2 + SETTLED_SECONDS) as client:
        (event,) = await read_events(client, 1)
    data = event["data"]
    when = datetime.fromtimestamp(START, UTC).strftime("%Y-%m-%dT%H:%M:0")

    def session(moment: str, one: Session, reason: str) -> dict[str, Any]:
        named = {"proxy": one.proxy, "pool": one.pool_label, "miner": one.miner, "workers": list(one.workers)}
        return {"time": moment, **named, "reason": reason}

    assert (data["connected"], data["disconnected"]) == (1, 1)
    assert data["connects"] == [session(f"{when}0.125Z", came, "")]
    assert data["disconnects"] == [session(f"{when}1.500Z", went, "pool lost")]
    assert data["failovers"] == [
        {"time": f"{when}0.700Z", "proxy": "proxy-1", "pool": "normal", "left": "main:1", "taken": "backup:2"}
    ]


async def test_who_comes_when_nobody_listened_hears_of_now(store: ClickHouseAddress) -> None:
    """Not of the outage, nor of the step, that the last listener had heard of."""
    now = START + 10.0 + SETTLED_SECONDS
    queries = Queries(replace(store, port=unused_port()))
    feed = Feed(queries, lambda: now)
    async with asyncio.timeout(50), aclosing(feed.entries()) as entries:
        assert isinstance(await anext(entries), FeedOutage)
    feed._queries, away = Queries(store), queries
    for later in (0, 100):
        now += later
        async with asyncio.timeout(50), aclosing(feed.entries()) as entries:
            step = await anext(entries)
        assert isinstance(step, FeedStep)
        assert step.end == int(now) - SETTLED_SECONDS
    for one in (away, feed._queries):
        await one.close()


async def test_a_gap_and_an_outage_are_events_without_an_id(
    store: ClickHouseAddress, clickhouse: ClickHouseAddress
) -> None:
    async with api(store, now=START) as client:
        (gap,) = await read_events(client, 1, **{"Last-Event-ID": "0"})
    assert (gap["event"], gap["data"]["start"], "id" in gap) == ("gap", 0, False)
    # Without tables.
    async with api(clickhouse, now=START) as client:
        (outage,) = await read_events(client, 1)
    assert (outage["event"], outage["data"]["trouble"], "id" in outage) == ("outage", "refused", False)
    assert outage["data"]["since"].endswith("Z")


async def test_who_may_listen(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        assert_error(await client.get("/api/events"), 401, "MISSING_TOKEN")
        assert_error(await client.get("/api/events", headers=ADMIN), 403, "INSUFFICIENT_SCOPE")
        answer = await client.get("/api/events", headers={**READ, "Last-Event-ID": "1" * 65})
        assert_error(answer, 422, "INVALID_PARAMETER")
    assert MOST_LISTENERS >= 100


async def test_the_service_ends_although_somebody_listens(store: ClickHouseAddress) -> None:
    options = ApiOptions(clickhouse=store, port=unused_port(), read_tokens=("reader-token",))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{options.port}", timeout=60) as client:
        async with running(lambda: serve(options), options.port):
            context = client.stream("GET", "/api/events", headers=READ)
            answer = await context.__aenter__()
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("retry:")
            ended = asyncio.create_task(_rest(lines))
        # The stream ended in order: httpx raises where a body breaks off.
        await asyncio.wait_for(ended, 30)
        await context.__aexit__(None, None, None)


async def _rest(lines: Any) -> None:
    async for _ in lines:
        pass
