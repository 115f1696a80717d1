"""Pictures of the pages that analyse, over a generated week: those of the documentation, or every page in every light.

Run: python -m services.bench.analysis_pictures docs/images, or with --all and a folder of your own to look at.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.async_api import async_playwright

from services.bench.generate_shares import HOSTILE, bar, connect_all, generate
from services.bench.processes import free_port, service, wait_for_clickhouse, wait_for_port
from services.dashboard.links import worker_path
from services.dashboard.options import DashboardOptions, StratumEndpoint
from services.dashboard.server import serve as serve_dashboard
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.async_api import Browser

CHROMIUM: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
SHARES: Final = 250_000
WIDE: Final = (1280, 1440)
PHONE: Final = (390, 1688)


@dataclass(frozen=True, slots=True)
class View:
    """One picture: its file, the page, and how it is looked at. `store` is week, empty or away."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    store: str = "week"


DOCUMENTED: Final = (
    View("analytics.png", "analytics?period=7d"),
    View("worker-dark.png", "workers/farm.rack1-05?period=24h", (1280, 1000), dark=True),
    View("pools.png", "pools?period=24h", (1280, 1240)),
)
PAGES: Final = {
    "analytics": "analytics?period=7d",
    "analytics-narrow": "analytics?period=24h&worker=farm.rack1-05&min=1M&verdict=accepted",
    "analytics-nothing": "analytics?worker=nobody",
    "analytics-mistake": "analytics?from=2026-01-02T00:00&to=2026-01-01T00:00",
    "workers": "workers?period=7d",
    "worker": "workers/farm.rack1-05?period=24h",
    "worker-hostile": worker_path(HOSTILE) + "?period=7d",
    "pools": "pools?period=24h",
    "storage": "storage",
    "blocks": "blocks",
}


def every_view() -> Iterator[View]:
    for name, path in PAGES.items():
        for size, shape in ((WIDE, "wide"), (PHONE, "phone")):
            for dark in (False, True):
                yield View(f"{name}-{shape}-{'dark' if dark else 'light'}.png", path, size, dark)
    for store in ("empty", "away"):
        for name in ("analytics", "workers", "pools", "storage", "blocks"):
            yield View(f"{name}-{store}.png", PAGES[name], (1280, 900), store=store)


async def photograph(urls: dict[str, str], views: Sequence[View], folder: Path) -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium here: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        for view in views:
            await _one(browser, urls[view.store], view, folder)
        await browser.close()


async def _one(browser: Browser, url: str, view: View, folder: Path) -> None:
    context = await browser.new_context(
        viewport={"width": view.size[0], "height": view.size[1]}, color_scheme="dark" if view.dark else "light"
    )
    page = await context.new_page()
    await page.goto(url + view.path, timeout=120_000)
    # uPlot draws in the frame after the data came.
    await page.wait_for_timeout(1000)
    await page.screenshot(path=folder / view.name)
    await context.close()
    print(folder / view.name)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="every page, wide and phone, light and dark, empty and away")
    asked = parser.parse_args()
    views = tuple(every_view()) if asked.all else DOCUMENTED
    with tempfile.TemporaryDirectory(prefix="analysis-pictures-") as name, contextlib.ExitStack() as running:
        week = ClickHouseAddress(port=free_port(), password="pictures")
        embedded = EmbeddedOptions(data=Path(name), port=week.port, password=week.password)
        running.enter_context(service(serve_clickhouse, embedded, core=0))
        wait_for_clickhouse(week.port)
        # The last minute is made ahead, so that no chart ends in a gap.
        end = int(time.time()) + 60
        await generate(week, shares=SHARES, days=7, end=end, progress=bar)
        print(file=sys.stderr)
        await connect_all(week, end=end, lives_seconds=3600)
        empty = replace(week, database="empty")
        await migrate(empty)
        stores = {"week": week, "empty": empty, "away": ClickHouseAddress(port=free_port())}
        urls = {}
        for store, address in stores.items():
            options = DashboardOptions(
                clickhouse=address,
                port=free_port(),
                stratum=(StratumEndpoint("normal", "0.0.0.0", 3331), StratumEndpoint("high_diff", "0.0.0.0", 3332)),
                analysis_seconds=120,
            )
            running.enter_context(service(serve_dashboard, options, core=0))
            wait_for_port(options.port)
            urls[store] = f"http://127.0.0.1:{options.port}/"
        await photograph(urls, views, asked.folder)


if __name__ == "__main__":
    asyncio.run(main())
