"""The client against the API itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from services.api.options import RateLimitOptions
from services.client import ApiRefusal, ApiUnreachable, RawShare, ValidatorClient
from services.tests.api.conftest import api, keep
from services.tests.api.known_shares import DAY, expected_period, expected_pool, expected_workers, known_shares
from services.tests.conftest import unused_port

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


NOW = 1795178096  # 2026-11-20
MIDNIGHT = NOW - NOW % DAY


def within(got: Any, wanted: dict[str, Any]) -> None:
    """Every field of ours is the one that plain Python says."""
    for name, value in asdict(got).items():
        assert value == (pytest.approx(wanted[name], rel=1e-12) if isinstance(value, float) else wanted[name]), name


async def test_figures_and_shares(store: ClickHouseAddress) -> None:
    shares = known_shares(NOW, spread=300)
    await keep(store, shares)
    async with api(store, now=NOW, coin="bch") as served:
        client = ValidatorClient(str(served.base_url), "reader-token")

        def everything() -> None:
            assert client.health().database == "connected"
            pool = {"pool": "tiny", "share_value_basis": "actual", "pools_included": ()}
            within(client.pool_stats("tiny"), expected_pool(shares, NOW, pool="tiny", basis="actual") | pool)
            assert client.pool_stats().pools_included == ("high_diff", "normal", "tiny")
            assert client.summary().shares_24h == client.pool_stats().shares_24h
            by_name = expected_workers(shares, NOW, worker=None, pool="normal", basis="actual")
            found = client.workers_stats(pool="normal")
            assert found.keys() == by_name.keys()
            for name, worker in found.items():
                within(worker, by_name[name])
            period = expected_period(shares, NOW - 7777, NOW - 5, basis="actual")
            timerange = client.workers_timerange(NOW - 7777, NOW - 5)
            assert timerange.keys() == period.keys()
            for name, figures in timerange.items():
                within(figures, period[name])
            day = expected_period(shares, MIDNIGHT, MIDNIGHT + DAY, basis="actual")
            for name, figures_of_day in client.workers_share_value("2026-11-20").items():
                within(figures_of_day, day[name])
            start = NOW - DAY
            kept = sorted(s.ts_ms for s in shares if s.accepted and start * 1000 <= s.ts_ms < NOW * 1000)
            listed = list(client.shares(start, NOW, limit=100))
            assert [share.timestamp_ms for share in listed] == kept
            assert all(isinstance(share, RawShare) for share in listed)
            sample = client.audit(start, NOW, sample=3, seed=5)
            assert client.share_proof(sample[0]["id"])["id"] == sample[0]["id"]

        await asyncio.to_thread(everything)


async def test_refusals_are_exceptions_with_their_facts(store: ClickHouseAddress) -> None:
    limits = RateLimitOptions(address=1000, summary=1, reload=1, token=1000)
    async with api(store, now=time.time(), rate_limits=limits) as served:
        url = str(served.base_url)

        def refused() -> None:
            with pytest.raises(ApiRefusal, match="401 INVALID_TOKEN") as unknown:
                ValidatorClient(url, "no-such-token").workers_stats()
            assert (unknown.value.status, unknown.value.code, unknown.value.retry_after_seconds) == (
                401,
                "INVALID_TOKEN",
                None,
            )
            assert len(unknown.value.request_id) == 32
            with pytest.raises(ApiRefusal) as bad:
                ValidatorClient(url, "reader-token").workers_share_value("not/a day")
            assert bad.value.status in (400, 404)
            client = ValidatorClient(url)
            with pytest.raises(ApiRefusal, match="429 RATE_LIMITED") as often:
                for _ in range(3):
                    client.summary()
            assert often.value.retry_after_seconds is not None

        await asyncio.to_thread(refused)
    with pytest.raises(ApiUnreachable):
        ValidatorClient(f"http://127.0.0.1:{unused_port()}", timeout_seconds=5).health()
    with pytest.raises(ValueError, match="base_url"):
        ValidatorClient("file:///etc/passwd")
