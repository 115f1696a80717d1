"""The page in Chromium, as operators see it."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.dashboard.conftest import connect, dashboard, keep, tell
from services.tests.dashboard.test_page import EVIL
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.warehouse.address import ClickHouseAddress

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]
# A busy machine takes its time; a test that passes waits for nothing.
expect.set_options(timeout=40_000)


@dataclass(slots=True)
class Watch:
    """What a page did besides showing itself."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@asynccontextmanager
async def opened(browser: Browser, url: str, **context: Any) -> AsyncIterator[tuple[Page, Watch]]:
    """A page at `url`, watched for console errors, exceptions and requests to other hosts."""
    place = await browser.new_context(**context)
    page = await place.new_page()
    watch = Watch()
    page.on("console", lambda said: watch.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watch.complaints.append(str(error)))
    page.on("request", lambda request: watch.hosts.add(urlsplit(request.url).netloc))
    try:
        await page.goto(url)
        yield page, watch
    finally:
        await place.close()


def cell(page: Page, worker: str, column: str) -> Any:
    row = page.locator("tr[data-row]").filter(has=page.locator("td.worker", has_text=worker))
    return row.locator(f"td.{column}")


async def test_a_share_shows_up_without_a_reload(store: ClickHouseAddress, browser: Browser) -> None:
    await tell(store)
    async with dashboard(store) as url, opened(browser, url) as (page, watch):
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator(".sentence")).to_have_text("Ready, and no miner yet.")
        await expect(page.locator("#miners")).to_be_hidden()
        await page.evaluate("window.stillTheSamePage = true")

        await keep(store, "rig.one", count=3)
        await expect(cell(page, "rig.one", "accepted")).to_have_text("3")
        await expect(page.locator(".sentence")).to_contain_text("All is well: 1 miner, 1 pool")
        await expect(page.locator("main")).to_have_attribute("data-state", "good")
        await keep(store, "rig.one", count=2)
        await keep(store, "rig.one", reason="stale")
        await expect(cell(page, "rig.one", "accepted")).to_have_text("5")
        await expect(cell(page, "rig.one", "rejected")).to_have_text("1 (stale 1)")
        await expect(cell(page, "rig.one", "last_share")).to_have_text(re.compile(r"^\d+ s ago$"))
        before = await cell(page, "rig.one", "last_share").inner_text()
        await expect(cell(page, "rig.one", "last_share")).not_to_have_text(before)
        assert re.search(r"\d UTC$", await cell(page, "rig.one", "last_share").get_attribute("title"))

        assert await page.evaluate("window.stillTheSamePage")
        assert watch.complaints == []
        assert watch.hosts == {urlsplit(url).netloc}


async def test_a_hostile_name_stays_text_when_patched_in(store: ClickHouseAddress, browser: Browser) -> None:
    await keep(store, EVIL + "1")
    async with dashboard(store) as url, opened(browser, url) as (page, watch):
        await expect(page.locator("#connection")).to_have_text("Live")
        await keep(store, EVIL + "2", reason=EVIL)
        await keep(store, EVIL + "2")
        await expect(page.locator("tr[data-row]")).to_have_count(2)
        assert sorted(await page.locator("td.worker").all_inner_texts()) == [EVIL + "1", EVIL + "2"]
        assert await page.title() != "owned"
        assert await page.locator("main script, td :not(a)").count() == 0
        assert watch.complaints == []


async def test_the_database_goes_away_and_comes_back(tmp_path: Path, browser: Browser) -> None:
    options = EmbeddedOptions(data=tmp_path / "clickhouse", port=unused_port(), password=PASSWORD)
    server = ClickHouseProcess(options)
    await asyncio.to_thread(server.start)
    await migrate(server.address)
    await keep(server.address, "rig.one", count=4)
    async with dashboard(server.address) as url, opened(browser, url) as (page, watch):
        await expect(cell(page, "rig.one", "accepted")).to_have_text("4")

        await asyncio.to_thread(server.kill)
        await expect(page.locator(".sentence")).to_have_text(re.compile(r"^The database is away since .* UTC\.$"))
        await expect(page.locator(".advice")).to_contain_text(f"http://127.0.0.1:{options.port}/ping")
        await expect(page.locator("#connection")).to_have_text("Database away")
        await expect(cell(page, "rig.one", "accepted")).to_have_text("4")
        await page.reload()
        await expect(cell(page, "rig.one", "accepted")).to_have_text("4")

        again = ClickHouseProcess(options)
        await asyncio.to_thread(again.start)
        await expect(page.locator(".sentence")).to_contain_text("All is well")
        await expect(page.locator("#connection")).to_have_text("Live")
        await keep(again.address, "rig.one")
        await expect(cell(page, "rig.one", "accepted")).to_have_text("5")
        assert watch.complaints == []
        await asyncio.to_thread(again.kill)


async def test_a_page_whose_dashboard_stopped_says_so_and_recovers(store: ClickHouseAddress, browser: Browser) -> None:
    await keep(store, "rig.one")
    port = unused_port()
    async with dashboard(store, port=port) as url:
        place = await browser.new_context()
        page = await place.new_page()
        await page.goto(url)
        await expect(page.locator("#connection")).to_have_text("Live")
    # A dashboard that takes its time to stop leaves no moment for the first of the two.
    await expect(page.locator("#connection")).to_have_text(re.compile("^(Connection lost, trying again|Stale)$"))
    await expect(page.locator("#connection")).to_have_text("Stale")
    await expect(page.locator(".lost")).to_contain_text(re.compile(r"last heard \d+ (s|min) ago"))
    await expect(page.locator("main")).to_have_class(re.compile("stale"))
    async with dashboard(store, port=port):
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator("main")).not_to_have_class(re.compile("stale"))
        await expect(page.locator(".lost")).to_be_hidden()
        await place.close()


# Rows of another height than the table counts with, and what sticks out of the page; a wide table has a box of its own,
# and so have the names of the pages.
_BADLY_SET = """() => {
  const table = document.querySelector("#miners");
  const height = parseFloat(getComputedStyle(table).getPropertyValue("--row-height"));
  const rows = [...table.tBodies[0].rows].filter((row) => row.className !== "spacer");
  const odd = rows.filter((row) => Math.abs(row.getBoundingClientRect().height - height) > 0.5);
  const all = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, .under, dd, header nav"));
  const wide = all.filter((one) => one.getBoundingClientRect().right > innerWidth + 1);
  return [...odd, ...wide].map((one) => `${one.tagName} ${one.className}: ${one.textContent}`);
}"""


async def test_every_figure_stays_in_its_place(store: ClickHouseAddress, browser: Browser) -> None:
    for number in range(9):
        await keep(store, f"farm.rack{number}-05", count=number + 1, pool="high_diff", age_seconds=4 + 9 * number)
    for reason in ("low_difficulty", "pool_low_difficulty", "ntime_out_of_range", "stale"):
        await keep(store, "farm.rack3-05", reason=reason, count=40, pool="high_diff")
        await keep(store, "refused.in.all.cases", reason=reason, count=12_345, pool="high_diff")
    await keep(store, "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.worker-with-a-name", difficulty=1e-7)
    await connect(store, "connected.only", pool="high_diff", age_seconds=100)
    async with dashboard(store) as url, opened(browser, url) as (page, _):
        await expect(page.locator("#connection")).to_have_text("Live")
        for width in (1920, 1280, 721, 720, 360):
            await page.set_viewport_size({"width": width, "height": 900})
            # The chart follows the width with the next frame or two.
            async with asyncio.timeout(30):  # wait_for_function would need eval, which the page forbids
                while await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    await page.wait_for_timeout(20)
            assert await page.evaluate(_BADLY_SET) == [], width


async def test_theme_and_copy_buttons_work(store: ClickHouseAddress, browser: Browser) -> None:
    async with (
        dashboard(store) as url,
        opened(browser, url, color_scheme="light", permissions=["clipboard-read", "clipboard-write"]) as (page, watch),
    ):
        backgrounds = [await background(page)]
        for name in ("light", "dark", "system"):
            await page.locator("#theme").click()
            await expect(page.locator("#theme")).to_have_accessible_name(f"Theme: {name}")
            backgrounds.append(await background(page))
        light, chosen_light, dark, system = backgrounds
        assert light == chosen_light == system != dark
        await page.locator("#theme").click()
        await page.locator("#theme").click()
        await page.reload()
        await expect(page.locator("#theme")).to_have_accessible_name("Theme: dark")
        assert await background(page) == dark

        await page.locator("button.copy").first.click()
        await expect(page.locator("button.copy").first).to_have_text("Copied")
        assert await page.evaluate("navigator.clipboard.readText()") == "stratum+tcp://127.0.0.1:3331"
        assert watch.complaints == []


async def background(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


# The elements that stick out to the right, if any: more use in a failure than a number.
_WIDEST = """() => [...document.querySelectorAll("body *")]
    .filter((one) => !one.closest(".scroll, .under, dd, header nav"))
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map((element) => element.className || element.tagName)"""


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
async def test_no_width_scrolls_sideways(store: ClickHouseAddress, browser: Browser, width: int) -> None:
    await keep(store, "w" * 128, reason="pool_low_difficulty", count=123)
    await keep(store, "w" * 128, count=100, difficulty=2**-20)
    await keep(store, "rig.silent", age_seconds=900)
    async with (
        dashboard(store) as url,
        opened(browser, url, viewport={"width": width, "height": 800}) as (page, _),
    ):
        await expect(page.locator("#connection")).to_have_text("Live")
        assert await page.evaluate(_WIDEST) == []


async def test_without_javascript_the_page_reads_the_same(store: ClickHouseAddress, browser: Browser) -> None:
    # Old enough for a chart, whose steps are whole minutes.
    await keep(store, "rig.one", count=3, age_seconds=200)
    async with dashboard(store) as url, opened(browser, url, java_script_enabled=False) as (page, watch):
        await expect(cell(page, "rig.one", "accepted")).to_have_text("3")
        await expect(page.locator(".sentence")).to_contain_text("All is well: 1 miner")
        await expect(page.locator("#pools-chart svg")).to_be_visible()
        await expect(page.locator("#theme")).to_be_hidden()
        assert watch.complaints == []
