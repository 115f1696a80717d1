"""The whole way: valid shares through the proxy to a validating pool, and out of ClickHouse again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from services.demo.options import DemoPoolOptions
from services.demo.server import DemoPoolServer
from services.proxy.server import Proxy
from services.stratum.difficulty import actual_difficulty
from services.stratum.header import sha256d
from services.tests.conftest import run_sql
from services.tests.end_to_end.ledger_miner import Ledger, LedgerMiner
from services.tests.proxy.conftest import miner_port, proxy_options

if TYPE_CHECKING:
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress


@dataclass(frozen=True)
class Row:
    """What the test reads of a stored share."""

    hash: str
    header: bytes
    credited: float
    actual: float
    worker: str


def accepted_rows(address: ClickHouseAddress) -> list[Row]:
    sql = (
        "SELECT block_hash, hex(header), toString(pool_difficulty), toString(actual_difficulty), worker "
        f"FROM {address.database}.shares WHERE verdict = 'accepted' FORMAT TabSeparated"
    )
    lines = [line.split("\t") for line in run_sql(address, sql).decode().splitlines()]
    return [Row(h, bytes.fromhex(header), float(c), float(a), worker) for h, header, c, a, worker in lines]


@pytest.mark.parametrize("extranonce2_size", [8, 6, 4])
async def test_what_miners_read_is_what_the_pool_logged_is_what_is_stored(
    tmp_path: Path, database: ClickHouseAddress, extranonce2_size: int
) -> None:
    demo = DemoPoolOptions(
        data=tmp_path / "demo",
        port=0,
        fixed_difficulty=2.0**-20,
        network_difficulty=1.0,
        extranonce2_size=extranonce2_size,
    )
    ledger = Ledger()
    async with DemoPoolServer(demo) as pool:
        async with Proxy(proxy_options(tmp_path / "spool", pool.port, database)) as proxy:
            miners = [
                asyncio.create_task(LedgerMiner(miner_port(proxy), f"w.rig{n}", ledger, rolls_version=n == 1).run())
                for n in range(2)
            ]
            while len(ledger.accepted) < 150:
                await asyncio.sleep(0.05)
            # Stops while they mine: shares in flight get their answers.
        for miner in miners:
            miner.cancel()
        await asyncio.gather(*miners, return_exceptions=True)
    logged = {line.split()[0] for line in (tmp_path / "demo" / "accepted.log").read_text().splitlines()}
    rows = accepted_rows(database)

    assert ledger.rejected == {}
    assert len(rows) == len({row.hash for row in rows})
    assert ledger.accepted == {row.hash for row in rows} == logged
    for row in rows:
        block_hash = sha256d(row.header)
        assert block_hash[::-1].hex() == row.hash
        assert row.actual == pytest.approx(actual_difficulty(block_hash), rel=1e-12)
        assert row.actual >= row.credited == 2.0**-20
    assert {row.worker for row in rows} == {"w.rig0", "w.rig1"}
    # Each share's job is there too.
    orphans = run_sql(
        database,
        f"SELECT count() FROM {database.database}.shares WHERE job NOT IN (SELECT job FROM {database.database}.jobs)",
    )
    assert orphans.strip() == b"0"
