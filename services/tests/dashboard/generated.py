"""A store of some 200,000 generated shares over a week, made once for all tests that read it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from services.bench.generate_shares import connect_all, generate
from services.tests.conftest import run_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.warehouse.address import ClickHouseAddress

DRAWN = 250_000


@dataclass(frozen=True, slots=True)
class KeptShare:
    """What of a stored share the tests compute with."""

    ts_ms: int
    seq: int
    worker: str
    pool: str
    accepted: bool
    reason: str
    credited: float
    actual: float
    block_hash: str


@dataclass(frozen=True, slots=True)
class Generated:
    address: ClickHouseAddress
    end: int
    """The last share is older than this, unix seconds."""
    shares: tuple[KeptShare, ...]
    """The oldest first."""

    def matching(self, start: int, end: int, **wanted: object) -> list[KeptShare]:
        return [
            share
            for share in self.shares
            if start * 1000 <= share.ts_ms < end * 1000
            and all(getattr(share, name) == value for name, value in wanted.items())
        ]


def reasons(shares: list[KeptShare]) -> dict[str, int]:
    return dict(Counter(share.reason for share in shares if not share.accepted))


@pytest.fixture(scope="session")
def generated(clickhouse: ClickHouseAddress) -> Iterator[Generated]:
    """The store; nobody writes to it."""
    address = replace(clickhouse, database="generated_week")
    end = int(time.time())

    async def fill() -> None:
        await generate(address, shares=DRAWN, days=7, end=end)
        await connect_all(address, end=end, lives_seconds=3600)

    # In a thread, for a loop may run in this one.
    thread = threading.Thread(target=lambda: asyncio.run(fill()))
    thread.start()
    thread.join()
    yield Generated(address, end, tuple(_read(address)))
    run_sql(clickhouse, f"DROP DATABASE {address.database} SYNC")


def _read(address: ClickHouseAddress) -> Iterator[KeptShare]:
    rows = run_sql(
        address,
        "SELECT toUnixTimestamp64Milli(ts), seq, worker, pool_label, verdict = 'accepted', reason, pool_difficulty,"
        f" actual_difficulty, block_hash FROM {address.database}.shares ORDER BY ts, segment, seq FORMAT TabSeparated",
    )
    for row in rows.decode().splitlines():
        ts_ms, seq, worker, pool, accepted, reason, credited, actual, block_hash = row.split("\t")
        yield KeptShare(
            int(ts_ms), int(seq), worker, pool, accepted == "1", reason, float(credited), float(actual), block_hash
        )
