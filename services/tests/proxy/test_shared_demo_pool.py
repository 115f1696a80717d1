"""Shared mode, the whole way: real miners, a validating pool, and what ClickHouse has of it afterwards."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.proxy.options import PoolOptions
from services.proxy.server import Proxy
from services.proxy.vardiff import VardiffOptions
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import sha256d
from services.tests.conftest import run_sql
from services.tests.end_to_end.ledger_miner import Ledger, ledger_miners
from services.tests.proxy.conftest import miner_port, proxy_options

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress

MINERS = 4
OURS, POOLS = 2.0**-20, 2.0**-17


@pytest.mark.timeout(180)
async def test_what_miners_read_is_stored_and_the_pool_has_what_meets_its_difficulty(
    tmp_path: Path, database: ClickHouseAddress
) -> None:
    demo = DemoPoolOptions(data=tmp_path / "demo", port=0, fixed_difficulty=POOLS, network_difficulty=1.0)
    vardiff = VardiffOptions(start=OURS, min=OURS, max=OURS)
    ledger = Ledger()
    async with DemoPoolServer(demo) as pool:
        options = PoolOptions("normal", 0, "127.0.0.1", pool.port, "wallet.{worker}", "x", vardiff=vardiff)
        async with AsyncExitStack() as mining:
            async with Proxy(proxy_options(tmp_path / "spool", 0, database, pools=(options,), mode="shared")) as proxy:
                await mining.enter_async_context(ledger_miners([miner_port(proxy)] * MINERS, ledger, prefix="farm"))
                # Of 150 shares, one in eight is the pool's: with 2e-9 there is none.
                while len(ledger.accepted) < 150:
                    await asyncio.sleep(0.05)
                assert len(proxy.listeners["normal"].pool.upstreams) == 1
                # Stops while they mine: shares in flight get their answers.
    logged = {line.split()[0] for line in (tmp_path / "demo" / "accepted.log").read_text().splitlines()}
    sql = (
        "SELECT block_hash, hex(header), worker, pool_difficulty, pool_requested_difficulty, "
        f"job IN (SELECT job FROM {database.database}.jobs) "
        f"FROM {database.database}.shares WHERE verdict = 'accepted' FORMAT TabSeparated"
    )
    rows = [line.split("\t") for line in run_sql(database, sql).decode().splitlines()]
    actual = {row[0]: actual_difficulty(sha256d(bytes.fromhex(row[1]))) for row in rows}

    assert ledger.rejected == {}
    assert len(rows) == len(actual)
    assert ledger.accepted == set(actual)
    assert logged == {block_hash for block_hash, difficulty in actual.items() if difficulty >= POOLS}
    assert 0 < len(logged) < len(rows)
    assert {tuple(map(float, row[3:5])) for row in rows} == {(OURS, POOLS)}
    assert {row[5] for row in rows} == {"1"}
    assert {row[2] for row in rows} == {f"farm.{number}" for number in range(MINERS)}
