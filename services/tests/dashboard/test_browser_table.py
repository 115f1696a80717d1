"""The table of miners, the login and what helps people who see or point differently, in Chromium."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from services.tests.dashboard.accessibility import serious_issues
from services.tests.dashboard.conftest import connect, dashboard, keep, tell
from services.tests.dashboard.test_browser import opened
from services.tests.dashboard.test_page import EVIL
from services.tests.warehouse.test_proxies import make_session

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.proxy_state import Session

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

MANY = 3000
_ROWS = "#miners tbody tr:not(.spacer)"
_HEIGHTS = f"[...new Set([...document.querySelectorAll('{_ROWS}')].map((row) => row.getBoundingClientRect().height))]"


def crowd(count: int) -> list[Session]:
    """Connected an hour ago, each with a hash rate; the first name has two connections."""
    now_ms = int(time.time() * 1000)
    return [
        make_session(
            number,
            updated_ms=now_ms,
            workers=(f"farm.rig{max(1, number):04}",),
            miner=f"10.1.{number // 250}.{number % 250}:4000",
            pool_label="high_diff" if number % 10 == 9 else "normal",
            user_agent="bmminer/2.0.0" if number % 2 else "cgminer/4.12",
            connected_ms=now_ms - 3_600_000 - number,
            last_share_ms=None,
            accepted=0,
            rejected_by_reason={},
        )
        for number in range(count)
    ]


async def names(page: Page) -> list[str]:
    return await page.locator(f"{_ROWS} td.worker").all_inner_texts()


async def test_thousands_of_miners_are_searched_sorted_and_opened(store: ClickHouseAddress, browser: Browser) -> None:
    await tell(store, crowd(MANY))
    await keep(store, "farm.rig0500", connected=False, count=3)
    await keep(store, "gone.rig", connected=False, age_seconds=5000)
    async with dashboard(store) as url, opened(browser, url) as (page, watch):
        shown = page.locator("#matching")
        await expect(shown).to_have_text(f"{MANY - 1:,} shown")
        # Only what is in sight is drawn, and there is room for the rest.
        assert await page.locator(_ROWS).count() < 120
        assert await page.evaluate(_HEIGHTS) == [36]
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await expect(page.locator("tr[data-row='12:farm.rig2999@high_diff']")).to_be_visible()
        await page.evaluate("scrollTo(0, 0)")

        await expect(page.locator(_ROWS).first.locator("td.worker")).to_have_text("farm.rig0500")
        await page.locator("th.worker a").click()
        await expect(page.locator("th.worker")).to_have_attribute("aria-sort", "descending")
        await expect(page.locator(_ROWS).first.locator("td.worker")).to_have_text("farm.rig2999")
        await page.locator("th.worker a").click()
        await expect(page.locator(_ROWS).first.locator("td.worker")).to_have_text("farm.rig0001")
        assert urlsplit(page.url).query == "sort=worker"

        await page.keyboard.press("/")
        await page.keyboard.type("RIG000")
        await expect(shown).to_have_text("9 shown")
        await page.get_by_role("link", name="high_diff", exact=True).click()
        await expect(shown).to_have_text("1 shown")
        assert await names(page) == ["farm.rig0009"]
        query = urlsplit(page.url).query
        await page.go_back()
        await expect(shown).to_have_text("9 shown")
        await page.goto(f"{url}/?{query}")
        await expect(shown).to_have_text("1 shown")
        await page.locator("input[type=search]").fill("")
        await page.get_by_role("link", name="every pool").click()

        await page.goto(f"{url}/?state=left")
        await expect(shown).to_have_text("1 shown")
        await page.get_by_role("link", name="connected", exact=True).click()
        await expect(page.locator("a.folded")).to_have_text("1 that left: show")
        await page.goto(f"{url}/?sort=worker")
        opener = page.get_by_role("button", name="2 connections of farm.rig0001")
        await opener.click()
        await expect(opener).to_have_attribute("aria-expanded", "true")
        await expect(page.locator(f"{_ROWS}.single")).to_have_count(2)
        assert sorted(await page.locator("tr.single td.worker").all_inner_texts()) == ["10.1.0.0:4000", "10.1.0.1:4000"]
        assert watch.complaints == []


async def test_a_page_is_held_filtered_by_column_and_taken_along(store: ClickHouseAddress, browser: Browser) -> None:
    await keep(store, "rig.one", count=2)
    await keep(store, f'=HYPERLINK("{EVIL}")', count=1)
    permissions = ["clipboard-read", "clipboard-write"]
    async with dashboard(store) as url, opened(browser, url, permissions=permissions) as (page, watch):
        accepted = page.locator("tr[data-row='7:rig.one@normal'] td.accepted")
        await expect(accepted).to_have_text("2")
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.keyboard.press("p")
        await expect(page.locator("#connection")).to_have_text("Paused")
        await keep(store, "rig.one", count=5)
        await keep(store, "rig.two")
        await page.wait_for_timeout(1500)
        assert await accepted.inner_text() == "2"
        await page.get_by_role("button", name="Go on").click()
        await expect(accepted).to_have_text("7")
        await expect(page.locator("#matching")).to_have_text("3 shown")

        await page.get_by_text("Columns").click()
        await page.get_by_label("User agent", exact=True).uncheck()
        await page.reload()
        await expect(page.locator("th.user_agent")).to_be_hidden()
        await expect(page.locator("td.user_agent").first).to_be_hidden()
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.get_by_role("button", name="Copy as CSV").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        head, *lines = str(await page.evaluate("navigator.clipboard.readText()")).split("\n")
        assert "user_agent" not in head
        assert any(line.startswith('"\'=HYPERLINK(""<script>') for line in lines)
        assert any(line.startswith("rig.one,normal,active,") for line in lines)

        async with page.expect_response("**/charts?span=24h"):
            await page.get_by_role("link", name="24h").click()
        await expect(page.get_by_role("link", name="24h")).to_have_attribute("aria-current", "true")
        assert "span=24h" in page.url
        assert watch.complaints == []


async def test_the_login_page_lets_in_and_out(store: ClickHouseAddress, browser: Browser) -> None:
    async with dashboard(store, password="a password") as url, opened(browser, f"{url}/?span=6h") as (page, watch):
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert await serious_issues(page) == []
        await page.keyboard.type("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("neither the password nor a token")
        # What the browser says of the answer 401.
        assert [one for one in watch.complaints if "401" not in one] == []
        watch.complaints.clear()
        await page.get_by_label("Password, or a token").fill("a password")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#connection")).to_have_text("Live")
        assert page.url == f"{url}/?span=6h"
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.go_back()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert watch.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(store: ClickHouseAddress, browser: Browser, scheme: str) -> None:
    await tell(store)
    async with dashboard(store) as url, opened(browser, url, color_scheme=scheme) as (page, watch):
        await expect(page.locator(".sentence")).to_have_text("Ready, and no miner yet.")
        assert await serious_issues(page) == []
        await keep(store, "rig.one", count=3)
        await keep(store, "rig.one", reason="stale")
        await keep(store, "rig.silent", age_seconds=900)
        await connect(store, "rig.one", miner="10.0.0.9:1")
        await expect(page.locator(_ROWS)).to_have_count(2)
        assert await serious_issues(page) == []
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await serious_issues(page) == []
        assert watch.complaints == []


async def test_the_server_writes_a_row_as_the_browser_does(store: ClickHouseAddress, browser: Browser) -> None:
    await keep(store, "rig.one", count=1234, difficulty=123456.7)
    await keep(store, "rig.one", count=2, reason="low_difficulty")
    await keep(store, "rig.one", count=3, reason="stale")
    await keep(store, "rig.tiny", difficulty=1e-7)
    texts = "[...document.querySelectorAll('tr[data-row] td')].map((cell) => cell.textContent)"
    async with dashboard(store) as url:
        async with opened(browser, url, java_script_enabled=False) as (page, _):
            written = await page.locator("tr[data-row] td").all_inner_texts()
        async with opened(browser, url) as (page, _):
            await expect(page.locator("#connection")).to_have_text("Live")
            drawn = await page.evaluate(texts)
    ago = re.compile(r"\d+ s ago")
    assert [ago.sub("ago", text) for text in drawn] == [ago.sub("ago", text) for text in written]
    assert "5 (stale 3, low difficulty 2)" in json.dumps(drawn)


async def test_the_server_draws_a_miners_day_as_the_browser_does(store: ClickHouseAddress, browser: Browser) -> None:
    for worker, count in (("rig.one", 3), ("rig.two", 1)):
        # Old enough for the bars, which are drawn every ten minutes.
        await keep(store, worker, age_seconds=1500, count=count)
        await keep(store, worker, age_seconds=7500, count=1, connected=False)
    shapes = "all => all.map((one) => [one.getAttribute('d'), one.closest('td').title])"
    async with dashboard(store) as url:
        # Ten minutes may end between the two looks, but not twice.
        for _ in range(2):
            async with opened(browser, f"{url}/?sort=worker") as (page, _watch):
                bars = page.locator("td.trend path")
                await expect(bars).to_have_count(2)
                by_browser = await bars.evaluate_all(shapes)
            async with opened(browser, f"{url}/?sort=worker", java_script_enabled=False) as (page, _watch):
                drawn = await page.locator("td.trend path").all()
                by_server = [
                    [await one.get_attribute("d"), await one.locator("xpath=ancestor::td").get_attribute("title")]
                    for one in drawn
                ]
            if by_server == by_browser:
                break
    assert by_server == by_browser
    assert all(re.fullmatch(r"(M\d+ 35v-\d+h\.8v\d+z)+", shape) for shape, _ in by_browser)
    assert all("by the hour, at most" in title for _, title in by_browser)
