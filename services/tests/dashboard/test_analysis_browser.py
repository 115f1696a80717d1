"""The pages that analyse in Chromium, over the generated week."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from services.bench.generate_shares import HOSTILE, ODD
from services.tests.dashboard.accessibility import serious_issues
from services.tests.dashboard.conftest import dashboard
from services.tests.dashboard.test_browser import opened

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from services.tests.dashboard.generated import Generated

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
PATIENT = 90_000


async def test_a_question_is_asked_narrowed_and_exported(generated: Generated, browser: Browser) -> None:
    start, end = generated.end - 200_000, generated.end - 150_000
    async with (
        dashboard(generated.address, analysis_seconds=120) as url,
        opened(browser, f"{url}/analytics?from={start}&to={end}") as (page, watch),
    ):
        page.set_default_timeout(PATIENT)
        found = generated.matching(start, end)
        rows = page.locator("table.shares tbody tr:not(.more)")
        await expect(rows).to_have_count(100)
        await expect(page.locator(".plot canvas")).to_have_count(4)
        await expect(page.locator("table.heat svg")).to_have_count(40)

        await page.get_by_role("link", name="Load more").click()
        await expect(rows).to_have_count(200, timeout=PATIENT)
        hashes = await page.locator("code.hash").evaluate_all("all => all.map(one => one.title)")
        assert hashes == [share.block_hash for share in found[::-1]][:200]

        await page.get_by_role("combobox", name="Worker").fill(HOSTILE)
        await page.get_by_label("Verdict").select_option("accepted")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**verdict=accepted**")
        asked = parse_qs(urlsplit(page.url).query)
        assert asked["worker"] == [HOSTILE]
        # What was filled in is kept, the custom period too, and nothing empty is in the address.
        assert set(asked) == {"period", "from", "to", "worker", "verdict"}
        mine = generated.matching(start, end, worker=HOSTILE, accepted=True)
        assert await page.locator("dd.figure[title]").nth(1).get_attribute("title") == f"{len(mine):,}"

        await page.get_by_label("Actual difficulty from").fill("1M")
        await page.get_by_role("button", name="Show").click()
        await page.wait_for_url("**min=1M**")
        hard = [share for share in mine if share.actual >= 1e6]
        assert await page.locator("dd.figure[title]").nth(1).get_attribute("title") == f"{len(hard):,}"
        await page.go_back()
        await page.wait_for_function("!location.search.includes('min=')")

        async with page.expect_download() as waiting:
            await page.get_by_role("link", name="CSV").click()
        download = await waiting.value
        text = await asyncio.to_thread((await download.path()).read_text, encoding="utf-8")
        assert [row["block_hash"] for row in csv.DictReader(io.StringIO(text))] == [one.block_hash for one in mine]
        await expect(page.locator("#export-progress")).to_contain_text(f"Done: {len(mine):,} shares", timeout=PATIENT)

        link = await page.locator("#permalink").inner_text()
        await page.goto(link)
        assert await page.locator("dd.figure[title]").nth(1).get_attribute("title") == f"{len(mine):,}"
        await page.get_by_title("Remove this filter").first.click()
        await page.wait_for_function("!location.search.includes('worker=')")
        await page.go_back()
        await expect(page.get_by_role("combobox", name="Worker")).to_have_value(HOSTILE)
        assert await page.title() != "owned"
        assert watch.complaints == []
        assert watch.hosts == {urlsplit(url).netloc}


async def test_a_range_dragged_open_becomes_the_period(generated: Generated, browser: Browser) -> None:
    async with (
        dashboard(generated.address, analysis_seconds=120) as url,
        opened(browser, f"{url}/analytics?period=7d") as (page, watch),
    ):
        page.set_default_timeout(PATIENT)
        plot = page.locator("#hash-rate .u-over")
        box = await plot.bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=5)
        await page.mouse.up()
        await page.wait_for_url("**period=custom**")
        await expect(page.get_by_label("From, UTC")).to_be_visible()
        heat = page.locator("table.heat svg").first
        await heat.hover()
        await expect(page.locator("#heat-legend")).to_contain_text("/s")
        assert watch.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
async def test_every_page_fits_and_complains_of_nothing(generated: Generated, browser: Browser, width: int) -> None:
    async with (
        dashboard(generated.address, analysis_seconds=120) as url,
        opened(browser, f"{url}/workers?period=7d", viewport={"width": width, "height": 900}) as (page, watch),
    ):
        page.set_default_timeout(PATIENT)
        assert await serious_issues(page) == []
        names = page.locator("#workers tbody tr:visible td.name")
        await page.get_by_role("searchbox", name="Worker").fill("RACK1-0")
        typed = await names.all_inner_texts()
        assert set(typed) == {f"farm.rack1-{number:02}" for number in range(3, 10)}
        await page.keyboard.press("Enter")
        await page.wait_for_url("**q=RACK1-0**")
        await page.get_by_role("link", name="Worker", exact=True).click()
        await page.wait_for_url("**sort=-worker**")
        assert await names.all_inner_texts() == sorted(typed, reverse=True)
        await page.goto(f"{url}/workers?period=7d")
        await page.get_by_role("link", name=ODD, exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(ODD)
        assert await serious_issues(page) == []
        await page.get_by_role("link", name="6h").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text(f"{ODD} the last 6 hours")
        for name in ("Pools", "Storage", "Blocks", "Analytics"):
            await page.get_by_role("navigation").get_by_role("link", name=name).click()
            await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await serious_issues(page) == []
        assert watch.complaints == []
        assert watch.hosts == {urlsplit(url).netloc}
