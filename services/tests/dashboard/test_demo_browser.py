"""The whole stack as a new operator starts it, with a password, in Chromium: every page, filter and export, and what
the pages say while ClickHouse hangs, dies and comes back.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from services.tests.dashboard.accessibility import serious_issues
from services.tests.dashboard.test_browser import cell, opened
from services.tests.end_to_end.stack import eventually, ports_of_a_stack, running

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from services.tests.end_to_end.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
PASSWORD = "the demo's password"
WORKER = "demo.miner"
PATIENT = 90_000
# On a slow machine, with a new block every second, many of the first shares come too late for their pool.
WORKING = re.compile(r"^All is well: 1 miner, 1 pool|of the shares of the last 24 hours were refused\.$")


async def test_the_demo_in_a_browser(tmp_path: Path, browser: Browser) -> None:
    ports = ports_of_a_stack()
    url = f"http://127.0.0.1:{ports['DASHBOARD_PORT']}/"
    with running(tmp_path / "data", ports, DASHBOARD_PASSWORD=PASSWORD) as stack:
        await asyncio.to_thread(
            eventually, lambda: stack.answers("DASHBOARD_PORT", "/healthz"), within_seconds=60, what="the dashboard"
        )
        async with opened(browser, url, viewport={"width": 1280, "height": 900}) as (page, watch):
            page.set_default_timeout(PATIENT)
            await log_in(page)
            # What the browser says of the page that it was not let into.
            watch.complaints[:] = [one for one in watch.complaints if "401" not in one]
            await shares_show_up_live(page)
            await every_page_has_what_the_demo_did(page)
            # What is still on its way would be in one count and not in the next.
            with stack.miner_held():
                await asyncio.to_thread(
                    eventually, lambda: _all_stored(stack), within_seconds=60, what="the pool's log is in the store"
                )
                await shares_are_narrowed_and_exported(page, stack)
            assert watch.complaints == []
            await the_database_hangs_dies_and_comes_back(page, url, stack)
            assert watch.hosts == {urlsplit(url).netloc}


def _all_stored(stack: Stack) -> bool:
    return set(stack.accepted_hashes()) == set(stack.pool_log())


async def log_in(page: Page) -> None:
    await page.get_by_label("Password, or a token").fill("a wrong one")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("neither the password nor a token")
    await page.get_by_label("Password, or a token").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()


async def shares_show_up_live(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator(".sentence")).to_have_text(WORKING, timeout=PATIENT)
    accepted = cell(page, WORKER, "accepted")
    before = await accepted.inner_text()
    await expect(accepted).not_to_have_text(before, timeout=PATIENT)
    await expect(page.locator("[data-cell='normal:state']")).to_have_text("● ready")
    await expect(cell(page, WORKER, "user_agent")).to_contain_text("sharehouse-miner")
    shown = page.locator("#matching")
    for link, count in (("silent", "0 shown"), ("all", "1 shown"), ("high_diff", "0 shown"), ("every pool", "1 shown")):
        await page.get_by_role("link", name=link, exact=True).click()
        await expect(shown).to_have_text(count)
    await page.get_by_label("Search miners").fill("nobody")
    await expect(page.locator(".nomatch")).to_be_visible()
    await page.get_by_label("Search miners").fill("DEMO")
    await expect(shown).to_have_text("1 shown")
    await page.get_by_text("What happens").click()
    await expect(page.locator("#happenings-list")).to_contain_text(f"{WORKER} from 127.0.0.1", timeout=PATIENT)
    assert await serious_issues(page) == []


async def every_page_has_what_the_demo_did(page: Page) -> None:
    await page.get_by_role("navigation").get_by_role("link", name="Workers").click()
    await page.get_by_role("link", name=WORKER, exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(WORKER)
    await expect(page.get_by_text("● connected", exact=True)).to_be_visible()
    assert await serious_issues(page) == []
    told = {
        "Pools": re.compile("● ready"),
        "Storage": re.compile("Shares stay on this machine's disk"),
        "Blocks": re.compile("Found by the merge miner"),
    }
    for name, words in told.items():
        await page.get_by_role("navigation").get_by_role("link", name=name).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        await expect(page.locator("main")).to_contain_text(words)
        assert await serious_issues(page) == []


async def shares_are_narrowed_and_exported(page: Page, stack: Stack) -> None:
    await page.get_by_role("navigation").get_by_role("link", name="Analytics").click()
    await page.get_by_role("combobox", name="Worker").fill(WORKER)
    await page.get_by_role("combobox", name="Pool").select_option("normal")
    await page.get_by_role("textbox", name="Actual difficulty from").fill("0.00001")
    await page.get_by_role("combobox", name="Verdict").select_option("accepted")
    await page.get_by_role("button", name="Show").click()
    await page.wait_for_url("**verdict=accepted**")
    link = await page.locator("#permalink").inner_text()
    await page.goto(link)
    address = urlsplit(link)
    asked = await page.request.get(f"{address.scheme}://{address.netloc}/api/analytics?{address.query}")
    sums = (await asked.json())["sums"]
    total = sums["accepted"]
    assert (total > 0, sums["rejected_by_reason"], sums["workers"]) == (True, {}, 1)
    stored = stack.rows("SELECT count() FROM shares WHERE verdict = 'accepted' AND actual_difficulty >= 0.00001")
    assert total == int(stored[0][0])
    assert await serious_issues(page) == []
    for form in ("CSV", "JSON", "Parquet"):
        assert await exported(page, form) == total


async def exported(page: Page, form: str) -> int:
    """How many shares a download brought, as the page tells; of CSV and JSON, the file holds as many."""
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=form, exact=True).click()
    await expect(page.locator("#export-progress")).to_contain_text("Done: ", timeout=PATIENT)
    download = await waiting.value
    assert download.suggested_filename.endswith(f".{form.lower()}")
    told = re.match(r"Done: ([\d,]+) share", await page.locator("#export-progress span").inner_text())
    assert told
    rows = int(told[1].replace(",", ""))
    content = (await asyncio.to_thread((await download.path()).read_bytes)).decode("latin-1")
    if form == "CSV":
        assert len(list(csv.DictReader(io.StringIO(content)))) == rows
    elif form == "JSON":
        assert len(json.loads(content)) == rows
    else:
        # The Parquet itself is read back in the tests of the warehouse.
        assert content[:4] == content[-4:] == "PAR1"
    return rows


async def the_database_hangs_dies_and_comes_back(page: Page, url: str, stack: Stack) -> None:
    await page.goto(url)
    await expect(page.locator("#connection")).to_have_text("Live")
    accepted = cell(page, WORKER, "accepted")
    before = await accepted.inner_text()
    database = stack.service_pid("clickhouse")
    os.kill(database, signal.SIGSTOP)
    await expect(page.locator("#connection")).to_have_text("Database too slow", timeout=PATIENT)
    await expect(page.locator(".sentence")).to_contain_text("The database has been too slow for this page since")
    await expect(page.locator("main")).to_have_class(re.compile("away"))
    # It is killed while it hangs, and what runs the stack starts it again.
    os.kill(database, signal.SIGKILL)
    await expect(page.locator("#connection")).to_have_text("Live", timeout=PATIENT)
    await expect(page.locator(".sentence")).to_have_text(WORKING, timeout=PATIENT)
    await expect(page.locator("main")).not_to_have_class(re.compile("away"))
    await expect(accepted).not_to_have_text(before, timeout=PATIENT)
