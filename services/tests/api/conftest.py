from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from clickhouse_connect.driver import create_async_client

from services.api.app import create_app
from services.api.options import ApiOptions, RateLimitOptions
from services.tests.serving import running_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from services.tests.api.known_shares import KnownShare
    from services.warehouse.address import ClickHouseAddress

READ = {"Authorization": "Bearer reader-token"}
ADMIN = {"Authorization": "Bearer admin-token"}
REPLICAS = 3
JWT_SECRET = "0123456789abcdef0123456789abcdef"


def segment_of(number: int) -> str:
    """Shares are kept by turns by several replicas, each with a segment of its own."""
    return f"00000000-0000-0000-0000-{number % REPLICAS:012}"


def listed(share: KnownShare, number: int) -> dict[str, Any]:
    """What the API says of the share that `keep` was given as number `number`."""
    return {
        "id": f"{segment_of(number)}-{number}",
        "timestamp": share.ts_ms // 1000,
        "timestamp_ms": share.ts_ms,
        "miner": "10.0.0.1:5000",
        "worker": share.worker,
        "pool": f"{share.pool_label}.example:3333",
        "pool_label": share.pool_label,
        "pool_difficulty": share.credited,
        "pool_requested_difficulty": share.credited,
        "actual_difficulty": share.actual,
        "block_hash": "",
    }


async def keep(address: ClickHouseAddress, shares: Iterable[KnownShare]) -> None:
    """Put `shares` into the table, as rows whose other columns do not matter here."""
    client = await create_async_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=address.database,
    )
    columns = [
        "ts",
        "segment",
        "seq",
        "proxy",
        "pool_label",
        "pool",
        "miner",
        "worker",
        "verdict",
        "reason",
        "pool_difficulty",
        "pool_requested_difficulty",
        "actual_difficulty",
    ]
    rows = [
        (
            share.ts_ms,
            segment_of(number),
            number,
            f"proxy-{number % REPLICAS}",
            share.pool_label,
            f"{share.pool_label}.example:3333",
            "10.0.0.1:5000",
            share.worker,
            "accepted" if share.accepted else "rejected",
            "" if share.accepted else "stale",
            share.credited,
            share.credited,
            share.actual,
        )
        for number, share in enumerate(shares)
    ]
    await client.insert("shares", rows, column_names=columns)
    await client.close()


@asynccontextmanager
async def api(
    address: ClickHouseAddress, *, now: float | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a real socket, and a client for it; its clock stands at `now` if given."""
    # What the tests of other things ask is never too much.
    settings.setdefault("rate_limits", RateLimitOptions(*[1_000_000] * 4))
    options = ApiOptions(
        clickhouse=address,
        read_tokens=("reader-token", "second-token"),
        admin_tokens=("admin-token",),
        jwt_secret=JWT_SECRET,
        **settings,
    )
    app = create_app(options) if now is None else create_app(options, lambda: now)
    # A connection that is kept may be closed by the server in the moment that it is used again.
    anew = httpx.Limits(max_keepalive_connections=0)
    async with running_app(app) as url, httpx.AsyncClient(base_url=url, timeout=30, limits=anew) as client:
        yield client
