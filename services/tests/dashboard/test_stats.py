"""The JSON that scripts use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

from services.dashboard.options import StratumEndpoint
from services.tests.conftest import unused_port
from services.tests.dashboard.conftest import dashboard, keep, tell
from services.tests.warehouse.test_proxies import make_session
from services.warehouse.address import ClickHouseAddress
from services.warehouse.proxy_state import PoolState

if TYPE_CHECKING:
    from typing import Any

ENDPOINTS = (
    StratumEndpoint("normal", "0.0.0.0", 3331, "pool.example:3333", "wallet.{worker}"),
    StratumEndpoint("high_diff", "0.0.0.0", 3332),
)


async def test_miners_and_pools_as_json(store: ClickHouseAddress) -> None:
    now_ms = int(time.time() * 1000)
    refused = {"stale": 2, "pool_stale": 1, "unknown_job": 1, "duplicate": 3, "low_difficulty": 4, "pool_other": 5}
    told: dict[str, Any] = {"updated_ms": now_ms, "connected_ms": now_ms - 60_000, "rejected_by_reason": refused}
    pool = PoolState(pool_label="normal", pool="backup.example:1", state="ready", miners=1, upstreams=1)
    await tell(store, [make_session(7, workers=("farm.rig1",), **told)], pools=(pool,))
    await keep(store, "farm.rig1", count=60, difficulty=65536.0, connected=False)
    await keep(store, "farm.rig1", count=3, reason="stale", connected=False)
    async with dashboard(store, stratum=ENDPOINTS) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        (miner,) = (await client.get("/api/stats")).json()
        assert miner == {
            "miner": "10.0.0.1:40007",
            "worker": "farm.rig1",
            "pool": "normal",
            "accepted": 12,
            "rejected": 16,
            "rejected_breakdown": {"stale": 4, "duplicate": 3, "low_diff": 4, "other": 5},
            "difficulty": 0.25,
            "pool_difficulty": 0.125,
            "hashrate": 1.5e13,
            "highest_difficulty": 1e9,
            "last_share_difficulty": 0.5,
        }
        pools = (await client.get("/api/pools")).json()
        assert list(pools) == ["normal", "high_diff"]
        assert pools["normal"] == {
            "host": "pool.example",
            "port": 3333,
            "proxy_port": 3331,
            "user": "wallet.{worker}",
            "connected_miners": 1,
            "total_hashrate": 5.6295e13,
            "total_accepted": 60,
            "total_rejected": 3,
        }
        assert pools["high_diff"]["port"] is None
        page = (await client.get("/")).text
    assert "▲ failover" in page
    assert "backup.example:1; the first address is pool.example:3333" in page


async def test_scripts_are_told_when_there_are_no_figures() -> None:
    async with (
        dashboard(ClickHouseAddress(port=unused_port())) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        for path in ("/api/stats", "/api/pools"):
            answer = await client.get(path)
            assert (answer.status_code, list(answer.json())) == (503, ["error"])
