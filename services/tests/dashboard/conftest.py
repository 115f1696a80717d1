from __future__ import annotations

import time
import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver import create_async_client

from services.dashboard.options import DashboardOptions, StratumEndpoint
from services.dashboard.server import serve
from services.tests.conftest import unused_port
from services.tests.dashboard.generated import generated as generated
from services.tests.serving import running
from services.tests.warehouse.test_proxies import INSTANCE, make_heartbeat, make_session
from services.warehouse.proxy_state import StateWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.proxy_state import Session

STRATUM = (StratumEndpoint("normal", "127.0.0.1", 3331), StratumEndpoint("high_diff", "127.0.0.1", 3332))
_COLUMNS = (
    "ts", "segment", "seq", "pool_label", "pool", "miner", "worker", "verdict", "reason",
    "pool_difficulty", "pool_requested_difficulty", "actual_difficulty",
)  # fmt: skip


async def keep(
    address: ClickHouseAddress,
    worker: str,
    *,
    age_seconds: float = 2,
    count: int = 1,
    reason: str = "",
    pool: str = "normal",
    difficulty: float = 1024.0,
    miner: str = "10.0.0.1:5000",
    connected: bool = True,
) -> None:
    """Put `count` shares of `worker` into the table, all of one age; refused if there is a `reason`.

    The miner is, and stays, connected to a proxy that lives, unless told otherwise.
    """
    if connected:
        await connect(address, worker, pool=pool, miner=miner, difficulty=difficulty)
    client = await create_async_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=address.database,
    )
    verdict = "rejected" if reason else "accepted"
    ts_ms = int((time.time() - age_seconds) * 1000)
    segment = "00000000-0000-0000-0000-000000000000"
    row = (ts_ms, segment, 0, pool, f"{pool}.example:3333", miner, worker, verdict, reason, difficulty, difficulty, 5e6)
    await client.insert("shares", [row] * count, column_names=_COLUMNS)
    await client.close()


async def connect(
    address: ClickHouseAddress,
    *workers: str,
    age_seconds: float = 3600,
    pool: str = "normal",
    miner: str = "10.0.0.1:5000",
    difficulty: float = 1024.0,
    **heartbeat: Any,
) -> None:
    """Connect a miner since so long, to a proxy that goes on living while the test runs."""
    now_ms = int(time.time() * 1000)
    session = make_session(
        # The same miner has one connection, however often it is told of.
        zlib.crc32(f"{workers}{pool}{miner}".encode("utf-8", "replace")),
        updated_ms=now_ms,
        workers=workers,
        pool_label=pool,
        pool=f"{pool}.example:3333",
        miner=miner,
        connected_ms=now_ms - int(age_seconds * 1000),
        difficulty=difficulty,
        last_share_ms=None,
        accepted=0,
        rejected_by_reason={},
        hash_rate=0.0,
        instance=heartbeat.get("instance", INSTANCE),
    )
    await tell(address, [session], **heartbeat)


async def tell(address: ClickHouseAddress, sessions: Sequence[Session] = (), **heartbeat: Any) -> None:
    """Write what a proxy tells of itself; its heartbeat lies ahead, so that it lives until the test ends."""
    writer = StateWriter(address)
    facts: dict[str, Any] = {"ts_ms": int(time.time() * 1000) + 120_000, "pools": ()} | heartbeat
    await writer.write(sessions, make_heartbeat(**facts))
    await writer.close()


@asynccontextmanager
async def dashboard(address: ClickHouseAddress, **settings: Any) -> AsyncIterator[str]:
    """The dashboard as the command runs it; gives its URL. A look every 0.3 s, to keep the tests short."""
    chosen: dict[str, Any] = {"port": unused_port(), "stratum": STRATUM, "interval_seconds": 0.3} | settings
    options = DashboardOptions(clickhouse=address, **chosen)
    async with running(lambda: serve(options), options.port):
        yield f"http://127.0.0.1:{options.port}"
