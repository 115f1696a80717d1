"""The dashboard's pictures for the documentation: an hour of generated shares of 24 miners, and two days before it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from services.bench.processes import free_port, service, wait_for_clickhouse, wait_for_port
from services.dashboard.options import DashboardOptions, StratumEndpoint
from services.dashboard.server import serve as serve_dashboard
from services.warehouse.address import ClickHouseAddress
from services.warehouse.client import Connection
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate
from services.warehouse.proxy_state import Heartbeat, PoolState, Session, StateWriter
from services.warehouse.records import NO_HEADER, NO_JOB, Share
from services.warehouse.shipper import Shipper
from services.warehouse.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS = 3_600_000
MEAN_SECONDS = 20.0
AGENTS = ("bmminer/2.0.0", "whatsminer/v1.1", "cgminer/4.12.1")
STRATUM = (
    StratumEndpoint("normal", "0.0.0.0", 3331, "normal.pool.example:3333", "bc1qexample.{worker}"),
    StratumEndpoint("high_diff", "0.0.0.0", 3332, "high-diff.pool.example:3333", "bc1qexample.{worker}"),
)
# The two days before that hour: a share a minute of each miner, credited three times as much, and fewer at night.
HISTORY = """\
INSERT INTO shares (ts, segment, seq, proxy, pool_label, pool, miner, worker, verdict, reason, pool_difficulty,
    pool_requested_difficulty, actual_difficulty, merkle_root, nonce)
WITH number % 24 AS w, {start:Int64} + intDiv(number, 24) * 60 + rand(1) % 60 AS at,
    if(w % 6 = 0, 'high_diff', 'normal') AS label, if(w % 6 = 0, 1572864., 393216. * exp2(w % 3)) AS asked
SELECT toDateTime64(at, 3, 'UTC'), generateUUIDv4(), number, 'proxy-1', label, concat(label, '.pool.example:3333'),
    concat('10.0.', toString(intDiv(w, 12)), '.', toString(20 + w), ':5000'),
    concat('farm.rack', toString(1 + intDiv(w, 8)), '-', leftPad(toString(1 + w % 8), 2, '0')),
    if(rand(3) % 80 = 0, 'rejected', 'accepted'), if(rand(3) % 80 = 0, 'stale', ''), asked, asked,
    asked / ((rand(4) + 1) / 4294967296.), randomFixedString(32), rand(5)
FROM numbers({count:UInt64})
WHERE w < 21 AND rand(6) % 100 < 86 + 10 * sin(at / 13751 + w) + if(at > {start:Int64} + 90000, 4, 0)"""

VIEWS = (
    ("dashboard.png", 1440, 1500, "light"),
    ("dashboard-dark.png", 1440, 1500, "dark"),
    ("dashboard-phone.png", 390, 1688, "light"),
)
CHROMIUM = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


def hour_of_shares() -> Iterator[Share]:
    """What 24 miners would have found; the last three joined late, one has gone."""
    chance = random.Random(20)
    now_ms = time.time_ns() // 1_000_000
    for number in range(24):
        pool = "high_diff" if number % 6 == 0 else "normal"
        difficulty = 524_288.0 if pool == "high_diff" else 131_072.0 * 2 ** (number % 3)
        ts_ms = now_ms - (HOUR_MS if number < 21 else HOUR_MS // 3)
        end_ms = now_ms - (0 if number != 7 else HOUR_MS // 4)
        while (ts_ms := ts_ms + int(1000 * chance.expovariate(1 / MEAN_SECONDS))) < end_ms:
            reason = chance.choices(("", "stale", "low_difficulty", "pool_stale"), (985, 8, 4, 3))[0]
            yield Share(
                ts_ms=ts_ms,
                proxy="proxy-1",
                pool_label=pool,
                pool=f"{pool.replace('_', '-')}.pool.example:3333",
                miner=f"10.0.{number // 12}.{20 + number}:50{number:02}",
                worker=f"farm.rack{1 + number // 8}-{1 + number % 8:02}",
                accepted=not reason,
                reason=reason,
                pool_difficulty=difficulty,
                pool_requested_difficulty=difficulty,
                actual_difficulty=difficulty / max(chance.random(), 1e-9),
                job=NO_JOB,
                job_id="1",
                extranonce1=b"",
                extranonce2=b"",
                header=NO_HEADER,
            )


async def fill(address: ClickHouseAddress, folder: Path) -> None:
    await migrate(address)
    spool = Spool.open(folder, max_bytes=1 << 30)
    for share in hour_of_shares():
        spool.append_share(share, lambda durable: None)
    await spool.close()
    if not await Shipper(folder, None, address).drain(30):
        sys.exit("the generated shares did not reach ClickHouse")
    await connect(address)
    connection = Connection(address)
    start = int(time.time()) - 49 * 3600
    await (await connection.client()).command(HISTORY, parameters={"start": start, "count": 48 * 60 * 24})
    await connection.close()


async def connect(address: ClickHouseAddress) -> None:
    """The miners' connections, all but the one that has gone; one has two, and one came just now, with no share yet.

    One of the pools has fallen back to its second address.
    """
    now_ms = time.time_ns() // 1_000_000
    instance = str(uuid.uuid4())
    sessions = [
        Session(
            updated_ms=now_ms,
            proxy="proxy-1",
            instance=instance,
            connection=number,
            pool_label="high_diff" if number % 6 == 0 else "normal",
            pool="normal.pool.example:3333",
            miner=f"10.0.{number // 12}.{20 + number}:50{number:02}",
            workers=(f"farm.rack{1 + number // 8}-{1 + number % 8:02}",) if number != 25 else ("farm.rack1-03",),
            user_agent=AGENTS[number % 3],
            connected_ms=now_ms - (20_000 if number == 24 else HOUR_MS if number < 21 else HOUR_MS // 3),
            disconnected_ms=None,
            disconnect_reason="",
            difficulty=524_288.0 if number % 6 == 0 else 131_072.0 * 2 ** (number % 3),
            last_share_ms=now_ms - 9_000 if number == 25 else None,
            accepted=31 if number == 25 else 0,
            rejected_by_reason={},
            hash_rate=2.81e13 if number == 25 else 0.0,
            pool_difficulty=524_288.0 if number % 6 == 0 else 131_072.0,
        )
        for number in range(26)
        if number != 7
    ]
    heartbeat = Heartbeat(
        # It lies ahead, so that the proxy lives while the pictures are made.
        ts_ms=now_ms + 120_000,
        proxy="proxy-1",
        instance=instance,
        started_ms=now_ms - HOUR_MS,
        stopped=False,
        version="",
        miners=len(sessions),
        spool_rows=0,
        spool_bytes=0,
        spool_oldest_age_seconds=0.0,
        spool_recording=True,
        unrecorded_shares=0,
        loop_lag_seconds=0.0,
        pools=tuple(
            PoolState(
                pool_label=label,
                pool=f"{address}.pool.example:3333",
                state="ready",
                miners=sum(session.pool_label == label for session in sessions),
                upstreams=sum(session.pool_label == label for session in sessions),
                latency_seconds=latency,
                connected_ms=now_ms - since_ms,
            )
            for label, address, latency, since_ms in (
                ("normal", "normal", 0.0213, 3 * HOUR_MS),
                ("high_diff", "backup", 0.0487, HOUR_MS // 6),
            )
        ),
    )
    writer = StateWriter(address)
    await writer.write(sessions, heartbeat)
    await writer.close()


async def photograph(url: str, folder: Path) -> None:
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        sys.exit("no Chromium here: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_path, args=CHROMIUM)
        for name, width, height, scheme in VIEWS:
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = await context.new_page()
            await page.goto(url, wait_until="load", timeout=120000)
            await page.locator("#connection", has_text="Live").wait_for()
            # The charts settle.
            await page.wait_for_timeout(1000)
            await page.screenshot(path=folder / name)
            print(folder / name)
        await browser.close()


async def main(pictures: Path) -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as running:
        folder = Path(name)
        address = ClickHouseAddress(port=free_port(), password="pictures")
        embedded = EmbeddedOptions(data=folder / "clickhouse", port=address.port, password=address.password)
        running.enter_context(service(serve_clickhouse, embedded, core=0))
        wait_for_clickhouse(address.port)
        await fill(address, folder / "spool")
        dashboard = DashboardOptions(clickhouse=address, port=free_port(), stratum=STRATUM)
        running.enter_context(service(serve_dashboard, dashboard, core=0))
        wait_for_port(dashboard.port)
        await photograph(f"http://127.0.0.1:{dashboard.port}/", pictures)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
