"""`/api/events` of the dashboard: the feed that the API serves, under the dashboard's own access."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx

from services.tests.dashboard.conftest import connect, dashboard, keep
from services.tests.dashboard.test_guard import log_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.warehouse.address import ClickHouseAddress


async def steps_until(
    client: httpx.AsyncClient, address: str, wanted: Callable[[dict[str, Any]], bool], **headers: str
) -> list[tuple[str, dict[str, Any]]]:
    """Steps of the stream with their ids, up to the first that is `wanted`."""
    found: list[tuple[str, dict[str, Any]]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(60), client.stream("GET", address, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                found.append((fields["id"], json.loads(fields["data"])))
                fields = {}
                if wanted(found[-1][1]):
                    return found
    raise AssertionError("the stream ended")


async def test_what_happened_is_told_from_a_moment_on_and_resumes(store: ClickHouseAddress) -> None:
    start = int(time.time()) // 2 * 2 - 60
    await keep(store, "rig.one", age_seconds=30, count=3)
    await connect(store, "rig.late", age_seconds=30, miner="10.0.0.7:7000")
    made = time.time() - 30
    async with dashboard(store) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        steps = await steps_until(client, f"/api/events?after={start}", lambda step: bool(step["end"] > made))
        assert [int(identity) for identity, _ in steps] == [step["end"] for _, step in steps]
        told = [step for _, step in steps]
        assert [step["start"] for step in told] == list(range(start, told[-1]["end"], 2))
        assert sum(step["shares_accepted"] for step in told) == 3
        assert sum(step["connected"] for step in told) == 1
        assert told[-1]["hash_rate_5m"] == told[-1]["pools"]["normal"]["hash_rate_5m"] == 3 * 1024 * 2**32 / 300
        (came,) = [one for step in told for one in step["connects"]]
        assert start < came.pop("time") <= made
        assert came.pop("proxy")
        assert came == {"pool": "normal", "miner": "10.0.0.7:7000", "workers": ["rig.late"], "reason": ""}
        # What a browser sends by itself goes before the address that it opened.
        resumed = await steps_until(
            client, f"/api/events?after={start}", lambda _: True, **{"Last-Event-ID": steps[3][0]}
        )
        assert resumed[0][1] == told[4]


async def test_nobody_listens_without_a_session(store: ClickHouseAddress) -> None:
    async with dashboard(store, password="a password") as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.get("/api/events")).status_code == 401
        await log_in(client, "a password")
        assert await steps_until(client, "/api/events", lambda _: True)
