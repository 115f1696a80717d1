"""Shares a second through spool, shipper and embedded ClickHouse, against the same rows inserted directly.

Both take turns in one run, into the same tables with all their roll-ups: spooled, each share is encoded, committed to
disk in a group, read back and posted; directly, the encoded rows are posted as they are, in batches of the same size.
Run: python -m services.bench.spooled_insert [--shares N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import uvloop

from services.bench.processes import free_port, service, wait_for_clickhouse
from services.tests.waiting import until
from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import Connection
from services.warehouse.delivery import INSERT_SETTINGS
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve
from services.warehouse.migrate import migrate
from services.warehouse.records import Share
from services.warehouse.rowbinary import COLUMNS, RowEncoder, Stream
from services.warehouse.segment import BATCH_ROWS
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

WORKERS = 1000
AT_ONCE = 1000
"""Shares that come between two looks at the event loop."""
BACKLOG_ROWS = 4 * BATCH_ROWS
PATIENCE_SECONDS = 600.0
TARGET, TARGET_RATIO = 100_000, 0.5


def make_shares(count: int) -> list[Share]:
    """Shares of a thousand workers, as they come: random headers, and 10 us apart."""
    generator = random.Random(1)
    noise = os.urandom(80 * count)
    began_ms = time.time_ns() // 1_000_000
    shares = []
    for number in range(count):
        worker = generator.randrange(WORKERS)
        accepted = generator.random() < 0.98
        shares.append(
            Share(
                ts_ms=began_ms + number // 100,
                proxy="proxy-1",
                pool_label="normal",
                pool="pool.example:3333",
                miner=f"10.0.{worker >> 8}.{worker & 255}:40000",
                worker=f"farm.rig{worker}",
                accepted=accepted,
                reason="" if accepted else "stale",
                pool_difficulty=1024.0,
                pool_requested_difficulty=1024.0,
                actual_difficulty=1024.0 / (generator.random() + 1e-9),
                job=b"job of the bench",
                job_id=f"{number // 20_000:x}",
                extranonce1=worker.to_bytes(4, "big"),
                extranonce2=number.to_bytes(8, "big"),
                header=noise[80 * number : 80 * number + 80],
            )
        )
    return shares


async def spooled(address: ClickHouseAddress, folder: Path, shares: list[Share]) -> float:
    """Seconds until ClickHouse has them all, but the first, with which spool, shipper and connections come to be."""
    spool = Spool.open(folder, max_bytes=1 << 32)
    shipping = asyncio.create_task(Shipper(folder, spool, address).run())
    refused = 0

    def told(durable: bool) -> None:
        nonlocal refused
        refused += not durable

    spool.append_share(shares[0], told)
    await until(lambda: spool.recorded_shares == 1 and not spool.depth_rows, PATIENCE_SECONDS)
    began = time.perf_counter()
    for at in range(1, len(shares), AT_ONCE):
        for share in shares[at : at + AT_ONCE]:
            spool.append_share(share, told)
        await asyncio.sleep(0)
        await until(lambda: spool.depth_rows <= BACKLOG_ROWS, PATIENCE_SECONDS)
    await until(lambda: spool.recorded_shares == len(shares) and not spool.depth_rows, PATIENCE_SECONDS)
    seconds = time.perf_counter() - began
    shipping.cancel()
    with suppress(asyncio.CancelledError):
        await shipping
    await spool.close()
    if refused:
        raise RuntimeError(f"{refused} shares were not recorded")
    return seconds


async def directly(client: AsyncClient, shares: list[Share]) -> float:
    """The same, of rows that are encoded already."""
    segment = uuid4()
    encoder = RowEncoder(segment)
    rows = [encoder.share(share, seq) for seq, share in enumerate(shares, 1)]
    batches = [b"".join(rows[at : at + BATCH_ROWS]) for at in range(0, len(rows), BATCH_ROWS)]
    began = time.perf_counter()
    for number, body in enumerate(batches):
        await client.raw_insert(
            Stream.SHARES.value,
            column_names=COLUMNS[Stream.SHARES],
            insert_block=body,
            fmt="RowBinary",
            settings={**INSERT_SETTINGS, "insert_deduplication_token": f"{segment}-{number}"},
        )
    return time.perf_counter() - began


async def measure(address: ClickHouseAddress, folder: Path, count: int, rounds: int) -> bool:
    await migrate(address)
    connection = Connection(address, timeout_seconds=300)
    client = await connection.client()
    shares = make_shares(count)
    await directly(client, shares[:BATCH_ROWS])  # warms up
    taken: dict[str, list[float]] = {"spooled": [], "directly": []}
    for number in range(rounds):
        taken["directly"].append(await directly(client, shares))
        taken["spooled"].append(await spooled(address, folder / str(number), shares))
        print(
            f"round {number + 1}: "
            + ", ".join(f"{name} {count / seconds[-1]:,.0f} shares/s" for name, seconds in taken.items()),
            flush=True,
        )
    stored = await client.query("SELECT count(), uniqExact(segment, seq) FROM shares")
    await connection.close()
    expected = 2 * rounds * count + min(count, BATCH_ROWS)
    if tuple(stored.result_rows[0]) != (expected, expected):
        raise RuntimeError(f"{stored.result_rows[0]} rows and distinct rows are stored, not {expected}")
    rates = {name: count / statistics.median(seconds) for name, seconds in taken.items()}
    ratio = rates["spooled"] / rates["directly"]
    print(f"directly {rates['directly']:>12,.0f} shares/s (median of {rounds} rounds of {count:,} shares)")
    print(f"spooled  {rates['spooled']:>12,.0f} shares/s (target: {TARGET:,} or more)")
    print(f"ratio    {ratio:>12.2f} (target: {TARGET_RATIO} or more)")
    return ratio >= TARGET_RATIO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=int, default=1_000_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="spooled-insert-") as name:
        folder = Path(name)
        address = ClickHouseAddress(port=free_port(), password="bench")
        options = EmbeddedOptions(data=folder / "clickhouse", port=address.port, password=address.password)
        with service(serve, options, core=cores[-1]):
            os.sched_setaffinity(0, {cores[0]})
            wait_for_clickhouse(address.port)
            good = uvloop.run(measure(address, folder / "spool", arguments.shares, arguments.rounds))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
