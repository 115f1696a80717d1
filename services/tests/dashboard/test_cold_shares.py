"""Shares on volume `cold` count as any others, and are shown for what they are."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from services.tests.dashboard.conftest import dashboard
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.tests.warehouse.test_tiering import tiered as tiered
from services.tests.warehouse.test_tiering import two_volumes as two_volumes
from services.warehouse.rowbinary import RowEncoder, Stream

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.tests.conftest import ClickHouseProcess

DAY_MS = 86_400_000


@pytest.mark.timeout(300)
async def test_cold_shares_are_included_and_shown_as_such(tiered: AsyncClient, two_volumes: ClickHouseProcess) -> None:
    generator = random.Random(5)
    now_ms = time.time_ns() // 1_000_000
    old = [make_share(generator, ts_ms=now_ms - 5 * DAY_MS - n, accepted=True) for n in range(7)]
    new = [make_share(generator, ts_ms=now_ms - 60_000 - n, accepted=True) for n in range(4)]
    encoder = RowEncoder(uuid4())
    await insert(tiered, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(old + new)))
    on_cold = "SELECT sum(rows) FROM system.parts WHERE table = 'shares' AND active AND disk_name = 'cold'"
    async with asyncio.timeout(200):
        while (await tiered.query(on_cold)).result_rows != [(7,)]:
            await asyncio.sleep(0.1)

    async with (
        dashboard(two_volumes.address, analysis_seconds=120) as url,
        httpx.AsyncClient(base_url=url, timeout=150) as client,
    ):
        told = (await client.get("/api/analytics/shares?period=7d")).json()
        assert [share["cold"] for share in told["shares"]] == [False] * 4 + [True] * 7
        facts = (await client.get("/api/analytics?period=7d")).json()
        assert (facts["sums"]["accepted"], facts["cold"]["rows"]) == (11, 7)
        page = (await client.get("/analytics?period=7d")).text
        assert page.count("❄ cold") == 7
        assert "❄ 7 shares of these days are cold" in page
        assert (await client.get("/api/analytics?period=24h")).json()["cold"] is None
        rows = (await client.get("/analytics/export/csv?period=7d")).text.splitlines()
        assert len(rows) == 1 + 11
        storage = (await client.get("/storage")).text
        assert re.search(r"❄ Cold, on S3</dt>\s*<dd class=\"figure\"[^>]*>[^<]+</dd>\s*<dd[^>]*>7 shares", storage)
