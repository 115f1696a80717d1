"""Every figure of the API against plain Python, for shares on both sides of every edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.tests.api.conftest import READ, api, keep
from services.tests.api.known_shares import (
    POOLS,
    WORKERS,
    KnownShare,
    expected_pool,
    expected_workers,
    known_shares,
)

if TYPE_CHECKING:
    from services.api.options import ShareValueBasis
    from services.warehouse.address import ClickHouseAddress

# 2026-11-20: in the middle of an hour, three minutes after midnight, and exactly at midnight.
NOON, AFTER_MIDNIGHT, MIDNIGHT = 1795178096, 1795132980 + 20, 1795132800


def same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Equal in every field; sums of floats may differ by the order they were added in."""
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        exact = not isinstance(value, float)
        assert got[name] == value if exact else got[name] == pytest.approx(value, rel=1e-12), name
        assert type(got[name]) in ((int, float) if isinstance(value, float) else (type(value),)), name


@pytest.mark.parametrize("now", [NOON, AFTER_MIDNIGHT, MIDNIGHT])
async def test_every_figure_is_what_plain_python_says(store: ClickHouseAddress, now: int) -> None:
    shares = known_shares(now)
    await keep(store, shares)
    async with api(store, now=now + 0.7) as client:
        for pool in (None, *POOLS):
            answer = (await client.get("/api/pool/stats", params={"pool": pool} if pool else {}, headers=READ)).json()
            wanted = expected_pool(shares, now, pool=pool, basis="actual")
            same(answer["btc"], wanted)
            assert answer["pool"] == (pool or "all")
            assert answer["share_value_basis"] == "actual"
            assert answer.get("pools_included") == (sorted(POOLS) if pool is None else None)
            workers = (
                await client.get("/api/workers/stats", params={"pool": pool} if pool else {}, headers=READ)
            ).json()
            expected = expected_workers(shares, now, worker=None, pool=pool, basis="actual")
            assert workers["btc"]["workers"].keys() == expected.keys()
            for name, figures in expected.items():
                same(workers["btc"]["workers"][name], figures)


async def test_one_worker_is_found_by_its_exact_name_whatever_is_in_it(store: ClickHouseAddress) -> None:
    shares = known_shares(NOON, spread=200)
    odd = ["tab\there", "new\nline", "\\N", "NULL", "{worker:String}", "%s %(x)s", "a,b", "'", "' OR 1=1 --", " edge "]
    shares += [KnownShare((NOON - 9) * 1000, "normal", name, True, 2.0, 3.0) for name in odd]
    await keep(store, shares)
    async with api(store, now=NOON) as client:
        for name in (*WORKERS, *odd, "just under ten", "ten minutes"):
            answer = await client.get("/api/workers/stats", params={"worker": name}, headers=READ)
            expected = expected_workers(shares, NOON, worker=name, pool=None, basis="actual")
            got = answer.json()["btc"]["workers"]
            assert got.keys() == expected.keys() == {name}
            same(got[name], expected[name])
        for name in ("refused", "long gone", "nobody", "", "abelatent", "abelatent.worker0_", "%", "x" * 256):
            answer = await client.get("/api/workers/stats", params={"worker": name}, headers=READ)
            assert (answer.status_code, answer.json()["btc"]["workers"]) == (200, {})


@pytest.mark.parametrize("basis", ["actual", "credited"])
async def test_coin_and_basis_are_the_operators_choice(store: ClickHouseAddress, basis: ShareValueBasis) -> None:
    shares = known_shares(NOON, spread=100)
    await keep(store, shares)
    async with api(store, now=NOON, coin="bch", share_value_basis=basis) as client:
        pool = (await client.get("/api/pool/stats", headers=READ)).json()
        workers = (await client.get("/api/workers/stats", headers=READ)).json()
    same(pool["bch"], expected_pool(shares, NOON, pool=None, basis=basis))
    for name, figures in expected_workers(shares, NOON, worker=None, pool=None, basis=basis).items():
        same(workers["bch"]["workers"][name], figures)
    assert pool["share_value_basis"] == workers["share_value_basis"] == basis
    assert "btc" not in pool
    assert "btc" not in workers


async def test_the_summary_is_open_and_tells_the_operators_terms(store: ClickHouseAddress) -> None:
    shares = known_shares(NOON, spread=300)
    await keep(store, shares)
    terms: dict[str, Any] = {
        "pool_fee": 0.02,
        "minimum_payout_threshold": 0.005,
        "minimum_payout_threshold_unit": "mBTC",
    }
    async with api(store, now=NOON, share_value_basis="credited", **terms) as client:
        answer = await client.get("/api/stats/summary")
    pool = expected_pool(shares, NOON, pool=None, basis="credited")
    names = ("hash_rate", "shares", "shares_value", "share_value_actual", "share_value_credited")
    figures = {f"{name}_{window}": pool[f"{name}_{window}"] for name in names for window in ("5m", "60m", "24h")}
    assert answer.status_code == 200
    same(answer.json(), {"hash_rate_unit": "Gh/s", "share_value_basis": "credited", **figures, **terms})


async def test_an_unknown_pool_and_an_empty_database_give_zeros(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        everything = (await client.get("/api/pool/stats", headers=READ)).json()
        unknown = (await client.get("/api/pool/stats", params={"pool": "nosuch"}, headers=READ)).json()
        workers = (await client.get("/api/workers/stats", params={"pool": "nosuch"}, headers=READ)).json()
    same(everything["btc"], expected_pool([], NOON, pool=None, basis="actual"))
    same(unknown["btc"], expected_pool([], NOON, pool=None, basis="actual"))
    assert everything["pools_included"] == []
    assert unknown["pool"] == "nosuch"
    assert "pools_included" not in unknown
    assert workers["btc"]["workers"] == {}
