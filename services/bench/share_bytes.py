"""Bytes that a share takes on disk, by column, against the entropy of the columns themselves.

Merkle root and nonce are random: 36 bytes. The other columns' entropy is measured in the order that the rows are stored
in, the least of: of a value given the one before it, where values repeat; of each byte of the value by itself; of each
byte of the difference to the one before. Run: python -m services.bench.share_bytes [--shares N]
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.share_history import FILL, WORKERS
from services.warehouse.client import Connection
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

RANDOM_BYTES = {"merkle_root": 32.0, "nonce": 4.0}
START = 1_789_000_000
SHARES_A_SECOND = 100
TARGET = 1.15
REPEATS_BELOW = 0.01
"""Values count as repeating where fewer than this part of the rows has one of its own."""
NUMBERS = {
    "ts": "toUInt64(toUnixTimestamp64Milli(ts))",
    "seq": "seq",
    "actual_difficulty": "reinterpretAsUInt64(actual_difficulty)",
    "extranonce2": "reinterpretAsUInt64(reverse(extranonce2))",
    "version": "toUInt64(version)",
    "ntime": "toUInt64(ntime)",
}
"""Columns of which hardly a value repeats, as integers."""
STORED = "ORDER BY toStartOfTenMinutes(ts), pool_label, worker, ts, seq"


async def entropy_bytes(client: AsyncClient, column: str) -> float:
    """Of one value of the column."""
    text = NUMBERS.get(column, f"toString({column})")
    rows = f"SELECT {text} AS x, lagInFrame({text}) OVER ({STORED}) AS before FROM shares"
    distinct = (await client.query(f"SELECT uniqExact({text}) / count() FROM shares")).result_rows[0][0]
    found = []
    if distinct < REPEATS_BELOW:
        found.append(f"(SELECT (entropy(before, x) - entropy(before)) / 8 FROM ({rows}))")
    if column in NUMBERS:
        for value in ("x", "x - before"):
            planes = " + ".join(f"entropy(bitAnd(bitShiftRight(toUInt64({value}), {8 * n}), 255))" for n in range(8))
            found.append(f"(SELECT ({planes}) / 8 FROM ({rows}))")
    if not found:
        raise RuntimeError(f"{column}: hardly a value repeats, and it is no number")
    result = await client.query(f"SELECT arrayMin([{', '.join(found)}])")
    return max(0.0, float(result.result_rows[0][0]))


async def measure(address: ClickHouseAddress, shares: int) -> bool:
    await migrate(address)
    connection = Connection(address, timeout_seconds=600)
    client = await connection.client()
    # A difficulty with all the digits that a hash gives it.
    fill = FILL.replace("(rand(4) / 4294967296. + 1e-9)", "((rand64(4) + 1.) / 18446744073709551616.)")
    bound = {
        "start": START,
        "step": 1 / SHARES_A_SECOND,
        "segment": "f2a9c1de-4a3b-4c5d-8e6f-0a1b2c3d4e5f",
        "workers": WORKERS,
        "first": 0,
        "count": shares,
    }
    await client.command(fill, parameters=bound)
    await client.command("OPTIMIZE TABLE shares FINAL")
    stored = await client.query(
        "SELECT column, sum(column_data_compressed_bytes) / sum(rows) FROM system.parts_columns"
        " WHERE database = currentDatabase() AND table = 'shares' AND active GROUP BY column ORDER BY 2 DESC"
    )
    print(f"{'column':<28}{'bytes on disk':>14}{'entropy':>10}")
    total = floor = 0.0
    for column, took in stored.result_rows:
        least = RANDOM_BYTES.get(column) or await entropy_bytes(client, column)
        total, floor = total + took, floor + least
        print(f"{column:<28}{took:>14.2f}{least:>10.2f}", flush=True)
    await connection.close()
    print(f"{'together':<28}{total:>14.2f}{floor:>10.2f}")
    print(f"{shares:,} shares: {total / floor:.3f} times the entropy (target: {TARGET} or less)")
    return total <= TARGET * floor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=int, default=300_000)
    arguments = parser.parse_args()
    with empty_clickhouse(core=None) as address:
        good = asyncio.run(measure(address, arguments.shares))
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
