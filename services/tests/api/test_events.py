"""GET /api/events, as a client reads it: over a socket, again by the id that it saw last, while the service ends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.api.options import ApiOptions
from services.api.server import serve
from services.tests.api.conftest import ADMIN, READ, api, keep
from services.tests.api.known_shares import KnownShare
from services.tests.api.test_access import assert_error
from services.tests.conftest import unused_port
from services.tests.serving import running
from services.warehouse.feed import MOST_LISTENERS, SETTLED_SECONDS

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

# Whichever comes first waits for the database's start.
pytestmark = pytest.mark.timeout(60)

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
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{options.port}", timeout=15) as client:
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
