"""ClickHouse killed, hung, slow and not there at the start: 503 at once everywhere, and back without a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.tests.api.conftest import ADMIN, READ, api, keep
from services.tests.api.known_shares import KnownShare
from services.tests.api.relay import relay_to
from services.tests.api.test_access import assert_error
from services.tests.api.test_events import read_events
from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.warehouse import share_export
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress

NOW = int(time.time())
PERIOD: dict[str, Any] = {"start_time": NOW - 3600, "end_time": NOW + 3600}
# Of the first share that is kept.
SHARE_ID = "00000000-0000-0000-0000-000000000000-0"
ASKED: dict[str, dict[str, Any]] = {
    "/api/stats/summary": {},
    "/api/pool/stats": {},
    "/api/workers/stats": {},
    "/api/workers/timerange": PERIOD,
    "/api/workers/share-value/" + time.strftime("%Y-%m-%d", time.gmtime(NOW)): {},
    "/api/shares/raw": PERIOD,
    f"/api/shares/{SHARE_ID}/proof": {},
    "/api/shares/audit": PERIOD,
}
ANSWER_WITHIN_SECONDS = 12  # 2 s, and a very busy machine


async def ask_all(client: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """Every endpoint that needs the database, at once."""
    # The answers of the present second are given again until it ends.
    await asyncio.sleep(1.01)
    calls = {path: client.get(path, params=params, headers=READ) for path, params in ASKED.items()}
    calls["/api/reload"] = client.post("/api/reload", headers=ADMIN)
    return dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))


async def assert_away(client: httpx.AsyncClient, code: str = "DATABASE_UNAVAILABLE", trouble: str = "") -> None:
    async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
        answers = await ask_all(client)
        health = await client.get("/health")
    for path, answer in answers.items():
        assert answer.status_code == 503, path
        assert_error(answer, 503, code)
        assert answer.headers["Retry-After"] == "5"
        assert not any(word in answer.text for word in ("SELECT", "127.0.0.1", "clickhouse_connect", "Traceback"))
    assert (health.status_code, health.json()["status"], health.json()["database"]) == (200, "ok", "disconnected")
    # A stream of events has begun before anything is asked; it says so.
    async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
        (event,) = await read_events(client, 1)
    assert (event["event"], event["data"]["trouble"]) == ("outage", trouble)


async def assert_back(client: httpx.AsyncClient) -> None:
    # A database that was hung first works off what it was asked meanwhile.
    async with asyncio.timeout(60):
        answers = await ask_all(client)
        while not all(answer.status_code == 200 for answer in answers.values()):
            assert all(answer.status_code in (200, 503) for answer in answers.values())
            answers = await ask_all(client)
    assert (await client.get("/health")).json()["database"] == "connected"
    assert answers["/api/pool/stats"].json()["btc"]["shares_24h"] == 1
    assert [one["id"] for one in answers["/api/shares/raw"].json()["shares"]] == [SHARE_ID]
    assert answers[f"/api/shares/{SHARE_ID}/proof"].json()["worker"] == "w"
    assert [one["id"] for one in answers["/api/shares/audit"].json()["shares"]] == [SHARE_ID]
    assert answers["/api/reload"].json()["replicas"] == []


async def keep_one(address: ClickHouseAddress) -> None:
    await migrate(address)
    await keep(address, [KnownShare(int(time.time() * 1000) - 5000, "normal", "w", True, 1.0, 2.0)])


@pytest.mark.deadlines
@pytest.mark.timeout(240)
async def test_the_api_outlives_its_database(tmp_path: Path) -> None:
    options = EmbeddedOptions(data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD)
    server = ClickHouseProcess(options)
    async with api(server.address) as client:
        await assert_away(client, trouble="unreachable")

        await asyncio.to_thread(server.start)
        await assert_without_tables(client)
        await keep_one(server.address)
        await assert_back(client)

        assert server.process.pid is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            await assert_away(client, "DATABASE_TIMEOUT", trouble="slow")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        await assert_back(client)

        await asyncio.to_thread(server.kill)
        await assert_away(client, trouble="unreachable")

        again = ClickHouseProcess(options)
        await asyncio.to_thread(again.start)
        await assert_back(client)
        await asyncio.to_thread(again.kill)


async def assert_without_tables(client: httpx.AsyncClient) -> None:
    """Up, but without tables: nothing can be had, and the reason stays inside."""
    for path, answer in (await ask_all(client)).items():
        assert answer.status_code == 503, path
        assert_error(answer, 503, "DATABASE_REFUSED")
        assert "ClickHouse" not in answer.text
        assert "its error 60" in answer.json()["detail"]
        assert "shares" not in answer.text


@pytest.mark.deadlines
async def test_questions_that_are_each_in_time_are_so_together(store: ClickHouseAddress) -> None:
    """With a database that takes 1 s for each: two in a row would be more than anybody is made to wait."""
    await keep_one(store)
    async with relay_to(store) as (relay, port), api(replace(store, port=port)) as client:
        await assert_back(client)
        relay.delay_seconds = 1.0
        answers = await ask_all(client)
        for path in ("/api/shares/raw", f"/api/shares/{SHARE_ID}/proof", "/api/shares/audit", "/api/reload"):
            assert answers[path].status_code == 503, path
            assert_error(answers[path], 503, "DATABASE_TIMEOUT")
        relay.delay_seconds = 0.0
        await assert_back(client)


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
async def test_a_stream_that_loses_its_database_is_cut(
    store: ClickHouseAddress, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_export, "SLICE_ROWS", 20)
    monkeypatch.setattr(share_export, "_MOST_ROWS", 40)
    await migrate(store)
    await keep(store, [KnownShare((NOW - 3000 + n) * 1000, "normal", "w", True, 1.0, 2.0) for n in range(600)])
    headers = {**READ, "Accept": accept, "Accept-Encoding": "identity"}
    async with relay_to(store) as (relay, port), api(replace(store, port=port)) as client:
        relay.delay_seconds = 0.05
        async with client.stream("GET", "/api/shares/raw", params=PERIOD, headers=headers) as answer:
            assert (answer.status_code, answer.headers["X-Total-Count"]) == (200, "600")
            pieces = answer.aiter_bytes()
            await anext(pieces)
            # Dozens of slices are to come, each of which takes its time.
            relay.close()
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in pieces:
                    pass
