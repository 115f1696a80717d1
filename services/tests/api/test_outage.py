"""ClickHouse killed, hung and not there at the start: 503 at once, and back without a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from services.tests.api.conftest import READ, api, keep
from services.tests.api.known_shares import KnownShare
from services.tests.api.test_access import assert_error
from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

STATS = ("/api/stats/summary", "/api/pool/stats", "/api/workers/stats")
ANSWER_WITHIN_SECONDS = 12  # 2 s, and a very busy machine


async def assert_away(client: httpx.AsyncClient, code: str = "DATABASE_UNAVAILABLE") -> None:
    # The answers of the present second are given again until it ends.
    await asyncio.sleep(1.01)
    async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
        *answers, health = await asyncio.gather(
            *(client.get(path, headers=READ) for path in STATS), client.get("/health")
        )
    for answer in answers:
        assert_error(answer, 503, code)
        assert answer.headers["Retry-After"] == "5"
        assert not any(word in answer.text for word in ("SELECT", "127.0.0.1", "clickhouse_connect", "Traceback"))
    assert (health.status_code, health.json()["status"], health.json()["database"]) == (200, "ok", "disconnected")


async def assert_back(client: httpx.AsyncClient) -> None:
    # A database that was hung first works off what it was asked meanwhile.
    for path in STATS:
        for _ in range(100):
            answer = await client.get(path, headers=READ)
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.2)
        assert answer.status_code == 200
    assert (await client.get("/health")).json()["database"] == "connected"
    assert (await client.get("/api/pool/stats", headers=READ)).json()["btc"]["shares_5m"] == 1


@pytest.mark.deadlines
@pytest.mark.timeout(120)
async def test_the_api_outlives_its_database(tmp_path: Path) -> None:
    options = EmbeddedOptions(data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD)
    server = ClickHouseProcess(options)
    async with api(server.address) as client:
        await assert_away(client)

        await asyncio.to_thread(server.start)
        await assert_without_tables(client)
        await migrate(server.address)
        await keep(server.address, [KnownShare(int(time.time() * 1000) - 5000, "normal", "w", True, 1.0, 2.0)])
        await assert_back(client)

        assert server.process.pid is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            await assert_away(client, "DATABASE_TIMEOUT")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        await assert_back(client)

        await asyncio.to_thread(server.kill)
        await assert_away(client)

        again = ClickHouseProcess(options)
        await asyncio.to_thread(again.start)
        await assert_back(client)
        await asyncio.to_thread(again.kill)


async def assert_without_tables(client: httpx.AsyncClient) -> None:
    """Up, but without tables: the statistics cannot be had, and the reason stays inside."""
    for path in STATS:
        answer = await client.get(path, headers=READ)
        assert_error(answer, 503, "DATABASE_REFUSED")
        assert "ClickHouse" not in answer.text
        assert "its error 60" in answer.json()["detail"]
        assert "shares" not in answer.text
