"""What the live page costs: script bytes, first paint with 1,000 miners, frames while 5,000 are scrolled through, and
the dashboard's CPU and the database's queries with one page open and with fifty.

Chromium opens the page as an operator does. Two paints are told: the first one, of whatever it is (the page's head
comes before the database has answered), and that of the sentence on top, which is the greatest thing painted, and comes
with all the figures. The reference of both is the same page without miners.

Queries are counted by ClickHouse itself (system.events), as a difference over the same time. The embedded server judges
each question by one SELECT of its own before it runs it, so what one question counts is measured first.
Run: python -m services.bench.dashboard_pages [--miners N ...] [--seconds N] [--times N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import shutil
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from playwright.async_api import async_playwright

from services.bench.page_queries import fill
from services.bench.pictures import CHROMIUM
from services.bench.processes import cpu_seconds, free_port, service, wait_for_clickhouse, wait_for_port
from services.dashboard.options import DashboardOptions
from services.dashboard.server import serve as serve_dashboard
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate
from services.warehouse.proxy_state import Heartbeat, Session, StateWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clickhouse_connect.driver.asyncclient import AsyncClient
    from playwright.async_api import Browser

PAGES = 50
INTERVAL_SECONDS = 2.0
QUESTIONS = 20
# The first paint, the last that was the greatest so far, and the begin of the answer, in ms.
_PAINT = """() => new Promise((done) => {
  new PerformanceObserver((list) => done([
    performance.getEntriesByName('first-contentful-paint')[0].startTime,
    list.getEntries().at(-1).startTime,
    performance.getEntriesByType('navigation')[0].responseStart,
  ])).observe({ type: 'largest-contentful-paint', buffered: true });
})"""
# Scrolls through the table for two seconds; gives the times between frames, in ms.
_SCROLL = """() => new Promise((done) => {
  const began = performance.now(), gaps = [];
  let last = began;
  const step = (now) => {
    gaps.push(now - last);
    last = now;
    scrollBy(0, 400);
    if (now - began < 2000) requestAnimationFrame(step);
    else done(gaps.slice(1));
  };
  requestAnimationFrame(step);
})"""


@dataclass(frozen=True, slots=True)
class Store:
    """A database on the running server, with a dashboard of its own."""

    address: ClickHouseAddress
    url: str
    pid: int


async def connect(address: ClickHouseAddress, miners: int) -> None:
    """One connection for each worker of `page_queries.fill`, to a proxy that lives while this runs."""
    now_ms = time.time_ns() // 1_000_000
    instance = str(uuid.uuid4())
    sessions = [
        Session(
            updated_ms=now_ms,
            proxy="proxy-1",
            instance=instance,
            connection=number,
            pool_label="normal",
            pool="pool.example:3333",
            miner=f"10.0.{number // 250}.{number % 250}:4000",
            workers=(f"farm.rig{number}",),
            user_agent="bmminer/2.0.0",
            connected_ms=now_ms - 3_600_000,
            disconnected_ms=None,
            disconnect_reason="",
            difficulty=1024.0,
            last_share_ms=None,
            accepted=0,
            rejected_by_reason={},
            hash_rate=0.0,
            pool_difficulty=4096.0,
        )
        for number in range(miners)
    ]
    heartbeat = Heartbeat(
        ts_ms=now_ms + 600_000,
        proxy="proxy-1",
        instance=instance,
        started_ms=now_ms,
        stopped=False,
        version="",
        miners=miners,
        spool_rows=0,
        spool_bytes=0,
        spool_oldest_age_seconds=0.0,
        spool_recording=True,
        unrecorded_shares=0,
        loop_lag_seconds=0.0,
        pools=(),
    )
    writer = StateWriter(address)
    await writer.write(sessions, heartbeat)
    await writer.close()


async def script_bytes(url: str) -> int:
    """Compressed bytes of every script of the page, with those that they import."""
    async with httpx.AsyncClient(base_url=url, headers={"Accept-Encoding": "gzip"}) as client:
        wanted = re.findall(r'src="\./(static/[^"]+\.js)"', (await client.get("/")).text)
        sizes: dict[str, int] = {}
        while wanted:
            name = wanted.pop()
            if name in sizes:
                continue
            async with client.stream("GET", f"/{name}") as answer:
                sizes[name] = sum([len(chunk) async for chunk in answer.aiter_raw()])
            text = (await client.get(f"/{name}")).text
            folder = name.rpartition("/")[0]
            wanted += [f"{folder}/{one}" for one in re.findall(r'from "\./([^"]+\.js)"', text)]
    return sum(sizes.values())


async def warmed_up(store: Store, miners: int) -> None:
    """Returns once the page shows what it should: what is asked first also connects, and compiles."""
    async with asyncio.timeout(120), httpx.AsyncClient(timeout=60) as client:
        wanted = "farm.rig" if miners else "Ready, and no miner yet."
        while wanted not in (await client.get(store.url)).text:
            pass


async def paints(browser: Browser, url: str, times: int) -> tuple[float, float, float]:
    """Medians of several loads, in ms: until something is painted, until the figures are, until the answer began."""
    taken = []
    for _ in range(times):
        context = await browser.new_context(viewport={"width": 1600, "height": 1000})
        page = await context.new_page()
        await page.goto(url)
        await page.locator("#connection", has_text="Live").wait_for()
        taken.append(await page.evaluate(_PAINT))
        await context.close()
        # The next load finds no look that is young enough, unless another page is open.
        await asyncio.sleep(INTERVAL_SECONDS)
    first, figures, answer = zip(*taken, strict=True)
    return statistics.median(first), statistics.median(figures), statistics.median(answer)


async def tell_paint(what: str, browser: Browser, store: Store, times: int) -> None:
    first, figures, answer = await paints(browser, store.url, times)
    print(
        f"  {what:<18} first paint {first:5.0f} ms, figures {figures:5.0f} ms, the answer began after {answer:.0f} ms",
        flush=True,
    )


async def frames(browser: Browser, url: str) -> list[float]:
    context = await browser.new_context(viewport={"width": 1600, "height": 1000})
    page = await context.new_page()
    await page.goto(f"{url}/?state=all")
    await page.locator("tr.spacer").last.wait_for(state="attached")
    await page.wait_for_timeout(2000)
    gaps: list[float] = await page.evaluate(_SCROLL)
    await context.close()
    return gaps


async def watched(store: Store, client: AsyncClient, pages: int, seconds: float) -> tuple[float, float]:
    """The dashboard's CPU in percent of a core, and its questions a second, while `pages` streams are open."""
    of_one = await selects_of_a_question(client)
    async with open_pages(store, pages):
        await asyncio.sleep(5)
        queries, cpu, began = await selects(client), cpu_seconds(store.pid), time.monotonic()
        await asyncio.sleep(seconds)
        # The question for the count is one itself, and takes its time as well.
        asked = await selects(client) - queries - 1
        used = cpu_seconds(store.pid) - cpu
        took = time.monotonic() - began
    return 100 * used / took, asked / of_one / took


@contextlib.asynccontextmanager
async def open_pages(store: Store, pages: int) -> AsyncIterator[None]:
    """So many streams of events, each read as a page does."""

    async def watch() -> None:
        async with httpx.AsyncClient(timeout=None) as reader, reader.stream("GET", f"{store.url}/events") as stream:
            async for _ in stream.aiter_raw():
                pass

    watching = [asyncio.create_task(watch()) for _ in range(pages)]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def selects_of_a_question(client: AsyncClient) -> float:
    """How many SELECTs ClickHouse counts for one question with bound parameters, as the dashboard's are."""
    before = await selects(client)
    for number in range(QUESTIONS):
        await client.query("SELECT {number:Int64}", parameters={"number": number})
    return (await selects(client) - before - 1) / QUESTIONS


async def selects(client: AsyncClient) -> int:
    result = await client.query("SELECT value FROM system.events WHERE event = 'SelectQuery'")
    return int(result.result_rows[0][0]) if result.result_rows else 0


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long CPU and queries are watched")
    parser.add_argument("--times", type=int, default=5, help="loads for the first paint")
    parser.add_argument("--miners", type=int, nargs="+", default=[0, 1000, 5000])
    arguments = parser.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory(prefix="dashboard-pages-") as folder, contextlib.ExitStack() as running:
        port = free_port()
        options = EmbeddedOptions(data=Path(folder), port=port, password="bench")
        running.enter_context(service(serve_clickhouse, options, core=0))
        wait_for_clickhouse(port)
        playwright = await async_playwright().start()
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        for miners in arguments.miners:
            address = ClickHouseAddress(port=port, password="bench", database=f"miners_{miners}")
            if miners:
                client = await fill(address, int(time.time()), 20 * miners, miners)
            else:
                await migrate(address)
            await connect(address, miners)
            chosen = DashboardOptions(clickhouse=address, port=free_port(), interval_seconds=INTERVAL_SECONDS)
            with service(serve_dashboard, chosen, core=1) as pid:
                wait_for_port(chosen.port, deadline_seconds=120)
                store = Store(address, f"http://127.0.0.1:{chosen.port}", pid)
                print(f"{miners} miners")
                await warmed_up(store, miners)
                await tell_paint("first page", browser, store, arguments.times)
                if not miners:
                    print(f"  scripts, gzip      {await script_bytes(store.url) / 1024:8.1f} KiB", flush=True)
                    continue
                async with open_pages(store, 1):
                    await asyncio.sleep(3)
                    await tell_paint("another is open", browser, store, arguments.times)
                if miners == 5000:
                    gaps = sorted(await frames(browser, store.url))
                    middle, slow = statistics.median(gaps), gaps[int(0.95 * len(gaps))]
                    print(f"  frame, scrolling   {middle:8.1f} ms, 95 % within {slow:.1f} ms", flush=True)
                for pages in (0, 1, PAGES):
                    cpu, asked = await watched(store, client, pages, arguments.seconds)
                    per_interval = asked * INTERVAL_SECONDS
                    print(
                        f"  {pages:>2} pages open      {cpu:8.1f} % of a core,"
                        f" {per_interval:.2f} questions per interval of {INTERVAL_SECONDS:g} s",
                        flush=True,
                    )
            if miners:
                await client.close()
        await browser.close()
        await playwright.stop()


if __name__ == "__main__":
    asyncio.run(main())
