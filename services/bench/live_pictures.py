"""Pictures of the live page in the states that nobody sees on a good day: nobody connected yet, 5,000 miners, the
dashboard lost, the database lost, and the database away from the start.

Run: python -m services.bench.live_pictures docs/images for those of the documentation, or with --all and a folder of
your own for each of them, wide and on a phone, light and dark.
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

from services.bench import dashboard_pages, page_queries
from services.bench.pictures import CHROMIUM, STRATUM, fill
from services.bench.processes import free_port, service, wait_for_clickhouse, wait_for_port
from services.dashboard.options import DashboardOptions
from services.dashboard.server import serve as serve_dashboard
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from playwright.async_api import Browser, Page

SHAPES: Final = {"wide": (1280, 1000), "phone": (390, 1500)}
LOOKS: Final = tuple((shape, scheme) for shape in SHAPES for scheme in ("light", "dark"))
DOCUMENTED: Final = {"empty": (("wide", "light"),), "away": (("wide", "dark"),)}
MANY: Final = 5000
_DEADLINE_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class Camera:
    """Takes pictures into a folder: of each state, the looks named, or all."""

    browser: Browser
    folder: Path
    looks: Mapping[str, Sequence[tuple[str, str]]] | None

    async def opened(self, url: str, state: str) -> dict[str, Page]:
        """A page for each look at the state, by what its picture is named."""
        pages = {}
        for shape, scheme in LOOKS if self.looks is None else self.looks.get(state, ()):
            width, height = SHAPES[shape]
            context = await self.browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
            )
            page = pages[f"live-{state}-{shape}-{scheme}.png"] = await context.new_page()
            await page.goto(url, timeout=_DEADLINE_MS)
        return pages

    async def take(self, pages: dict[str, Page], says: str) -> None:
        """The pictures, once the word in their heads says so; the pages are closed then."""
        for name, page in pages.items():
            await told(page, says)
            # The charts settle.
            await page.wait_for_timeout(1000)
            await page.screenshot(path=self.folder / name)
            print(self.folder / name, flush=True)
            await page.context.close()


async def told(page: Page, says: str) -> None:
    await page.locator("#connection", has_text=says).wait_for(timeout=_DEADLINE_MS)


def dashboard(address: ClickHouseAddress, running: ExitStack) -> str:
    """A dashboard's URL, which answers until `running` ends."""
    options = DashboardOptions(clickhouse=address, port=free_port(), stratum=STRATUM)
    running.enter_context(service(serve_dashboard, options, core=None))
    wait_for_port(options.port)
    return f"http://127.0.0.1:{options.port}/"


async def photograph(camera: Camera, folder: Path) -> None:
    with contextlib.ExitStack() as store, contextlib.ExitStack() as running:
        live = ClickHouseAddress(port=free_port(), password="pictures")
        embedded = EmbeddedOptions(data=folder / "clickhouse", port=live.port, password=live.password)
        store.enter_context(service(serve_clickhouse, embedded, core=None))
        wait_for_clickhouse(live.port)
        empty, many = replace(live, database="empty"), replace(live, database="many")
        await migrate(empty)
        await camera.take(await camera.opened(dashboard(empty, running), "empty"), "Live")

        await (await page_queries.fill(many, int(time.time()), 20 * MANY, MANY)).close()
        await dashboard_pages.connect(many, MANY)
        pages = await camera.opened(dashboard(many, running), "many")
        for page in pages.values():
            await page.locator("tr.spacer").last.wait_for(state="attached", timeout=_DEADLINE_MS)
            await page.locator("#miners-title").evaluate("(title) => title.scrollIntoView()")
        await camera.take(pages, "Live")

        await fill(live, folder / "spool")
        with contextlib.ExitStack() as lost:
            pages = await camera.opened(dashboard(live, lost), "stale")
            for page in pages.values():
                await told(page, "Live")
        await camera.take(pages, "Stale")

        before, never = dashboard(live, running), dashboard(live, running)
        pages = await camera.opened(before, "away")
        for page in pages.values():
            await told(page, "Live")
        store.close()
        await camera.take(pages, "Database away")
        await camera.take(await camera.opened(never, "unknown"), "Database away")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="every state, wide and on a phone, light and dark")
    asked = parser.parse_args()
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        sys.exit("no Chromium here: apt install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        with tempfile.TemporaryDirectory(prefix="live-pictures-") as folder:
            await photograph(Camera(browser, asked.folder, None if asked.all else DOCUMENTED), Path(folder))
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
