"""The reference pages in Chromium: they show the endpoints, and nothing is fetched from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from services.api.app import create_app
from services.api.options import ApiOptions
from services.tests.serving import running_app

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_reference_page_needs_no_other_host(browser: Browser, path: str) -> None:
    app = create_app(ApiOptions(read_tokens=("t",)))
    async with running_app(app) as url, await browser.new_context() as place:
        page = await place.new_page()
        asked: set[str] = set()
        faults: list[str] = []
        page.on("request", lambda request: asked.add(request.url))
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(url + path)
        for endpoint in ("/health", "/api/stats/summary", "/api/pool/stats", "/api/workers/stats"):
            await expect(page.get_by_text(endpoint).first).to_be_visible(timeout=20_000)
        await page.wait_for_load_state("networkidle")
        assert {urlsplit(address).netloc for address in asked if address.startswith("http")} == {urlsplit(url).netloc}
        assert faults == []
