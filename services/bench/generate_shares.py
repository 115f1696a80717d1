"""Fills a database with made-up shares: any number, over any days, of workers that differ, fall silent and are refused.

ClickHouse makes the rows itself, from a seed, so that ten million take a minute; progress is told on the way. A share's
difficulty is spread as chance spreads it, but its header is random, so that an audit finds no fault in nothing but the
store. Also told: the proxies' heartbeats with a failover, the workers' connections, block candidates, found blocks.
Run: python -m services.bench.generate_shares --host 127.0.0.1 --port 8123 [--shares 200000] [--days 7]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
import uuid
from typing import TYPE_CHECKING, Final

import msgspec

from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import Connection
from services.warehouse.migrate import migrate
from services.warehouse.proxy_state import Heartbeat, PoolState, Session, StateWriter, heartbeat_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.asyncclient import AsyncClient

CHUNK: Final = 100_000
WORKERS: Final = 60
DAY: Final = 86_400
HOSTILE: Final = "<script>alert(1)</script>"
ODD: Final = "söhne & söhne/№ 1?#%"
_SHARES: Final = """\
INSERT INTO shares (ts, segment, seq, proxy, pool_label, pool, miner, worker, verdict, reason, pool_difficulty,
    pool_requested_difficulty, actual_difficulty, job_id, extranonce1, extranonce2, version, prevhash, merkle_root,
    ntime, nbits, nonce)
WITH
    cityHash64(number, {seed:UInt64}) AS dice,
    cityHash64(dice, 1) AS dice_1,
    cityHash64(dice, 2) AS dice_2,
    dice_2 % {workers:UInt32} AS w,
    (number + (dice_1 % 1000) / 1000) / {rows:UInt64} AS part,
    {start:Int64} + part * {seconds:Int64} AS at,
    (cityHash64(dice, 3) % 9007199254740991 + 1) / 9007199254740992. AS chance,
    cityHash64(dice, 4) % 10000 AS fate,
    w % 9 = 4 AND part > 0.55 AND part < 0.6 AS ill,
    multiIf(fate < if(ill, 2500, 90), 'stale', fate < if(ill, 2600, 130), 'low_difficulty',
        fate < if(ill, 2650, 150), 'pool_stale', fate < if(ill, 2660, 158), 'duplicate', '') AS why,
    if(w % 6 = 5, 524288., 65536. * exp2(w % 3)) AS asked
SELECT
    fromUnixTimestamp64Milli(toInt64(at * 1000), 'UTC'), toUUID({segment:String}), number,
    concat('proxy-', toString(1 + w % 2)), if(w % 6 = 5, 'high_diff', 'normal'),
    if(w % 6 = 5, 'high.pool.example:3334',
        if(part > 0.4 AND part < 0.43, 'backup.pool.example:3333', 'pool.example:3333')),
    concat('10.0.', toString(intDiv(w, 20)), '.', toString(20 + w), ':', toString(40000 + w)),
    multiIf(w = 0, {hostile:String}, w = 1, {odd:String}, concat('farm.rack', toString(1 + intDiv(w, 12)), '-',
        leftPad(toString(1 + w % 12), 2, '0'))),
    if(why = '', 'accepted', 'rejected'), why, asked, asked, if(why = 'low_difficulty', asked * chance, asked / chance),
    lower(hex(toUInt16(part * 60000))), 'abcd', reinterpretAsFixedString(number), 536870912 + (dice % 4096) * 8192,
    SHA256(toString(intDiv(toInt64(at), 600))),
    SHA256(toString(dice)), toUInt32(at), 386089497, toUInt32(dice_1)
FROM numbers({first:UInt64}, {count:UInt64})
WHERE NOT (w % 7 = 3 AND part > 0.7 AND part < 0.7 + 0.02 * (1 + w % 5)) AND NOT (w = 10 AND part < 0.5)
    AND (dice_1 % 100) < 82 + 18 * sin(6.283 * part * {days:Float64} + w)
"""
_CANDIDATES: Final = """\
INSERT INTO block_candidates (ts, updated, proxy, pool_label, pool, miner, worker, height, actual_difficulty,
    network_difficulty, forwarded, refusal, pool_verdict, job, job_id, extranonce1, extranonce2, header)
SELECT s.ts, s.ts + toIntervalMillisecond(80), s.proxy, s.pool_label, s.pool, s.miner, s.worker,
    920000 + rowNumberInAllBlocks(), s.actual_difficulty, s.actual_difficulty / 1.3, s.verdict = 'accepted', s.reason,
    if(s.verdict = 'accepted', 'accepted', ''), s.job, s.job_id, s.extranonce1, s.extranonce2, s.header
FROM shares AS s WHERE s.verdict = 'accepted' ORDER BY s.actual_difficulty DESC LIMIT 3"""
_FOUND: Final = """\
INSERT INTO found_blocks (ts, chain, height, nonce, hash, header, worker, pool)
SELECT s.ts, if(s.seq % 2 = 0, 'RollPoW', 'Tetra-PoW'), 51000 + rowNumberInAllBlocks(), s.nonce, s.block_hash, s.header,
    'merge.worker1', '127.0.0.1:13333'
FROM shares AS s ORDER BY s.actual_difficulty LIMIT 5"""


async def generate(
    address: ClickHouseAddress,
    *,
    shares: int,
    days: float,
    workers: int = WORKERS,
    seed: int = 1,
    end: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """About four fifths of `shares` shares, over the `days` before `end` (unix seconds; now), into an empty store."""
    await migrate(address)
    connection = Connection(address, timeout_seconds=300)
    client = await connection.client()
    try:
        end = int(time.time()) if end is None else end
        seconds = int(days * DAY)
        bound = {
            "seed": seed,
            "workers": workers,
            "rows": shares,
            "start": end - seconds,
            "seconds": seconds,
            "days": days,
            "segment": str(uuid.UUID(int=seed)),
            "hostile": HOSTILE,
            "odd": ODD,
        }
        for first in range(0, shares, CHUNK):
            count = min(CHUNK, shares - first)
            await client.command(_SHARES, parameters={**bound, "first": first, "count": count})
            progress(first + count, shares)
        await client.command(_CANDIDATES)
        await client.command(_FOUND)
    finally:
        await connection.close()


async def connect_all(address: ClickHouseAddress, *, end: int | None = None, lives_seconds: int = 0) -> None:
    """Heartbeats of two proxies over the last day, with a failover, and a connection of each worker that mines.

    The last heartbeat lies `lives_seconds` ahead, so that the proxies live for so long.
    """
    end = int(time.time()) if end is None else end
    connection = Connection(address)
    client = await connection.client()
    names = await _latest_workers(client, end)
    instances = {number: str(uuid.UUID(int=number)) for number in (1, 2)}
    ages = (*range(DAY, 0, -600), 9000, 8998, 7200, -lives_seconds)
    # At once: three hundred INSERTs would take longer than all the shares.
    beats = [
        heartbeat_columns(_heartbeat(number, instance, end - age, age))
        for number, instance in instances.items()
        for age in ages
    ]
    rows = b"\n".join(map(msgspec.json.encode, beats))
    await client.raw_insert("heartbeats", column_names=tuple(beats[0]), insert_block=rows, fmt="JSONEachRow")
    await connection.close()
    writer = StateWriter(address)
    chance = random.Random(7)
    for number, instance in instances.items():
        sessions = [
            session
            for index, name in enumerate(names)
            if index % 2 == number - 1
            for session in _sessions(chance, number, instance, index, name, end)
        ]
        await writer.write(sessions, _heartbeat(number, instance, end + lives_seconds, 0))
    await writer.close()


async def _latest_workers(client: AsyncClient, end: int) -> list[tuple[str, str]]:
    found = await client.query(
        "SELECT worker, any(pool_label) FROM shares WHERE ts >= toDateTime64({start:Int64}, 3, 'UTC')"
        " GROUP BY worker ORDER BY worker",
        parameters={"start": end - 600},
    )
    return [(row[0], row[1]) for row in found.result_rows]


def _heartbeat(number: int, instance: str, at: int, age: int) -> Heartbeat:
    failed_over = 7200 < age < 9000
    pool = "backup.pool.example:3333" if failed_over else "pool.example:3333"
    away = age == 9000
    return Heartbeat(
        ts_ms=at * 1000,
        proxy=f"proxy-{number}",
        instance=instance,
        started_ms=(at - DAY) * 1000,
        stopped=False,
        version="",
        miners=30,
        spool_rows=12,
        spool_bytes=5_000,
        spool_oldest_age_seconds=0.4,
        spool_recording=True,
        unrecorded_shares=0,
        loop_lag_seconds=0.001,
        pools=(
            PoolState(
                pool_label="normal",
                pool=pool,
                state="away" if away else "ready",
                miners=25,
                upstreams=0 if away else 25,
                latency_seconds=0.0 if away else 0.09 if failed_over else 0.041 + 0.004 * (age // 600 % 3),
                connected_ms=0 if away else (at - 3600) * 1000,
            ),
            PoolState(
                pool_label="high_diff",
                pool="high.pool.example:3334",
                state="ready",
                miners=5,
                upstreams=5,
                latency_seconds=0.062 + 0.003 * (age // 600 % 4),
                connected_ms=(at - 7000) * 1000,
            ),
        ),
    )


def _sessions(
    chance: random.Random, number: int, instance: str, index: int, named: tuple[str, str], end: int
) -> list[Session]:
    name, pool_label = named
    ends = [end - chance.randrange(DAY // 2) for _ in range(index % 4)]
    begins = sorted((*ends, end - DAY + chance.randrange(3600)))
    return [
        Session(
            updated_ms=end * 1000,
            proxy=f"proxy-{number}",
            instance=instance,
            connection=index * 10 + turn,
            pool_label=pool_label,
            pool="pool.example:3333" if pool_label == "normal" else "high.pool.example:3334",
            miner=f"10.0.{index // 20}.{20 + index}:{40_000 + index + turn}",
            workers=(name,),
            user_agent="bmminer/2.0.0",
            connected_ms=begin * 1000 + 9,
            disconnected_ms=(begins[turn + 1] - 5) * 1000 if turn + 1 < len(begins) else None,
            disconnect_reason="closed by the miner" if turn + 1 < len(begins) else "",
            difficulty=65_536.0,
            last_share_ms=(end - 4) * 1000,
            accepted=chance.randrange(4000),
            rejected_by_reason={"stale": chance.randrange(30)},
            hash_rate=9.4e13,
        )
        for turn, begin in enumerate(begins)
    ]


def bar(done: int, total: int) -> None:
    """Progress on standard error."""
    filled = 40 * done // total
    print(f"\r[{'#' * filled}{' ' * (40 - filled)}] {done:,} of {total:,}", end="", file=sys.stderr, flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="of ClickHouse; its password is CLICKHOUSE_PASSWORD")
    parser.add_argument("--database", default="sharehouse", help="it must hold no shares yet")
    parser.add_argument("--shares", type=int, default=200_000, help="to draw; about four fifths are mined")
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    password = os.environ.get("CLICKHOUSE_PASSWORD", "")
    address = ClickHouseAddress(asked.host, asked.port, password=password, database=asked.database)
    began = time.monotonic()
    await generate(address, shares=asked.shares, days=asked.days, workers=asked.workers, seed=asked.seed, progress=bar)
    await connect_all(address)
    print(f"\n{asked.shares:,} shares drawn in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
