"""The analytics page, its JSON and its exports over 200,000 shares, against plain Python over the same shares."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.bench.generate_shares import HOSTILE
from services.dashboard.exports import MOST_AT_ONCE
from services.tests.conftest import unused_port
from services.tests.dashboard.conftest import dashboard
from services.tests.dashboard.generated import reasons
from services.warehouse.address import ClickHouseAddress
from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from services.tests.dashboard.generated import Generated, KeptShare

# The first of these makes the store.
pytestmark = pytest.mark.timeout(300)


def custom(start: int, end: int, **more: str) -> dict[str, str]:
    return {"period": "custom", "from": str(start), "to": str(end), **more}


async def facts(url: str, asked: dict[str, str], path: str = "/api/analytics") -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=150) as client:
        answer = await client.get(url + path, params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def page(url: str, asked: dict[str, str], status: int = 200) -> str:
    async with httpx.AsyncClient(timeout=150) as client:
        answer = await client.get(f"{url}/analytics", params=asked)
    assert answer.status_code == status
    return answer.text


def is_sum_of(told: dict[str, Any], shares: list[KeptShare]) -> None:
    accepted = [share for share in shares if share.accepted]
    assert (told["sums"]["accepted"], told["sums"]["rejected_by_reason"]) == (len(accepted), reasons(shares))
    assert math.isclose(told["sums"]["credited"], math.fsum(share.credited for share in accepted), rel_tol=1e-9)
    assert told["sums"]["workers"] == len({share.worker for share in shares})
    assert sum(step["accepted"] for step in told["timeline"]["steps"]) == len(accepted)
    assert sum(told["spread"]["counts"]) == len(accepted)


async def test_every_filter_counts_what_matches(generated: Generated) -> None:
    end = generated.end
    edges = (end - 400_000, end - 86_412)
    async with dashboard(generated.address, analysis_seconds=120) as url:
        is_sum_of(await facts(url, custom(end - 7 * 86_400, end)), list(generated.shares))
        is_sum_of(await facts(url, custom(*edges)), generated.matching(*edges))
        filtered: tuple[tuple[dict[str, str], dict[str, Any]], ...] = (
            ({"worker": "farm.rack2-06"}, {"worker": "farm.rack2-06"}),
            ({"worker": HOSTILE, "pool": "normal"}, {"worker": HOSTILE, "pool": "normal"}),
            ({"verdict": "rejected"}, {"accepted": False}),
            ({"pool": "high_diff", "verdict": "accepted"}, {"pool": "high_diff", "accepted": True}),
        )
        for asked, wanted in filtered:
            found = generated.matching(*edges, **wanted)
            assert found
            told = await facts(url, custom(*edges) | asked)
            is_sum_of(told, found)
        hard = [share for share in generated.matching(*edges) if share.actual >= 1.5e6]
        is_sum_of(await facts(url, custom(*edges, min="1.5M")), hard)


async def test_the_page_shows_what_the_shares_give(generated: Generated) -> None:
    start, end = generated.end - 90_000, generated.end - 3_600
    found = generated.matching(start, end)
    rate = math.fsum(share.credited for share in found if share.accepted) * HASHES_PER_DIFFICULTY / (end - start)
    async with dashboard(generated.address, analysis_seconds=120) as url:
        text = await page(url, custom(start, end))
        told = re.search(r'class="figure" title="([\d,]+) H/s"', text)
        assert told is not None
        assert math.isclose(int(told[1].replace(",", "")), rate, rel_tol=1e-9)
        accepted = sum(share.accepted for share in found)
        assert f'title="{accepted:,}"' in text
        assert text.count('<td class="name"') == 100
        newest = found[-1]
        assert newest.block_hash in text
        hostile = await page(url, custom(start, end, worker=HOSTILE))
        assert HOSTILE not in hostile
        assert hostile.count(f'<td class="name" title="{html.escape(HOSTILE)}"><a') == 100
        assert f'<option value="{html.escape(HOSTILE)}"></option>' in hostile
        charts = [json.loads(html.unescape(one)) for one in re.findall(r'data-chart="([^"]+)"', text)]
        assert [chart["unit"] for chart in charts] == ["H/s", "%", "", ""]
        assert sum(charts[3]["traces"][0]["values"][k] or 0 for k in range(len(charts[3]["labels"]))) == accepted
        link = html.unescape(re.search(r'id="permalink">\./analytics\?([^<]*)<', text)[1])  # type: ignore[index]
        again = await facts(url, dict(httpx.QueryParams(link)))
        assert again["query"]["start"] == start
        assert again["sums"]["accepted"] == accepted


async def test_pages_of_shares_follow_each_other(generated: Generated) -> None:
    start, end = generated.end - 90_000, generated.end - 3_600
    asked = custom(start, end, worker="farm.rack1-05")
    found = [(share.ts_ms, share.seq) for share in generated.matching(start, end, worker="farm.rack1-05")]
    assert len(found) > 300
    async with dashboard(generated.address, analysis_seconds=120) as url:
        listed: list[tuple[int, int]] = []
        after: str | None = ""
        while after is not None:
            told = await facts(url, {**asked, "after": after}, "/api/analytics/shares")
            listed += [(share["cursor"]["ts_ms"], share["cursor"]["seq"]) for share in told["shares"]]
            after = told["after"]
        assert listed == found[::-1]

        text = await page(url, asked)
        fragments = 0
        while more := re.search(r'data-more="\./(analytics/shares\?[^"]*)"', text):
            async with httpx.AsyncClient(timeout=150) as client:
                text = (await client.get(f"{url}/{html.unescape(more[1])}")).text
            assert "<html" not in text
            fragments += 1
        assert fragments == (len(found) - 1) // 100


async def test_exports_hold_all_that_matches(generated: Generated) -> None:
    start, end = generated.end - 170_000, generated.end
    asked = custom(start, end, verdict="accepted")
    found = generated.matching(start, end, accepted=True)
    assert len(found) > 50_000
    async with (
        dashboard(generated.address, analysis_seconds=120) as url,
        httpx.AsyncClient(base_url=url, timeout=150) as client,
    ):
        answer = await client.get("/analytics/export/csv", params={**asked, "id": "mine-1"})
        assert answer.status_code == 200
        assert re.search(r'filename="shares-\d{8}T\d{6}Z-\d{8}T\d{6}Z\.csv"', answer.headers["content-disposition"])
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [row["block_hash"] for row in rows] == [share.block_hash for share in found]
        assert [row["worker"] for row in rows] == [share.worker for share in found]
        told = (await client.get("/api/exports/mine-1")).json()
        assert (told["state"], told["rows_done"], told["rows_total"]) == ("done", len(found), len(found))
        assert told["bytes_sent"] == len(answer.content)

        short = custom(end - 3600, end)
        listed = (await client.get("/analytics/export/json", params=short)).json()
        assert [row["block_hash"] for row in listed] == [s.block_hash for s in generated.matching(end - 3600, end)]
        parquet = (await client.get("/analytics/export/parquet", params=asked)).content
        assert (parquet[:4], parquet[-4:]) == (b"PAR1", b"PAR1")

        assert (await client.get("/api/exports/nobody")).json() == {"state": "unknown"}
        assert (await client.get("/analytics/export/xls", params=asked)).status_code == 404
        assert "is a number" in (await client.get("/analytics/export/csv", params={"min": "much"})).text
        again = await client.get("/analytics/export/csv", params={**asked, "id": "mine-1"})
        assert again.status_code == 400


async def test_an_export_that_is_left_frees_its_place(generated: Generated) -> None:
    asked = custom(generated.end - 500_000, generated.end)
    async with (
        dashboard(generated.address, analysis_seconds=120) as url,
        httpx.AsyncClient(base_url=url, timeout=150) as client,
    ):
        for number in range(MOST_AT_ONCE + 1):
            async with client.stream(
                "GET", "/analytics/export/csv", params={**asked, "id": f"left-{number}"}
            ) as answer:
                assert answer.status_code == 200
                async for _ in answer.aiter_bytes():
                    break
            async with asyncio.timeout(150):
                while (await client.get(f"/api/exports/left-{number}")).json()["state"] != "cancelled":
                    await asyncio.sleep(0.05)
        assert (await client.get("/api/exports/left-0")).json()["reason"] == "The download was stopped."


async def test_mistakes_are_said_and_keep_the_form(generated: Generated) -> None:
    async with dashboard(generated.address, analysis_seconds=120) as url:
        text = await page(url, {"from": "2026-01-02T00:00", "to": "2026-01-01T00:00"}, 400)
        assert "is not before To" in text
        assert 'value="2026-01-02T00:00"' in text
        assert "is a number" in await page(url, {"min": "much"}, 400)
        assert "go back to its top" in await page(url, {"after": "nowhere"}, 400)
        nothing = await page(url, {"worker": "nobody"})
        assert "No share matches." in nothing
        assert "Remove a filter above" in nothing
        async with httpx.AsyncClient(timeout=60) as client:
            for path in ("/api/analytics", "/api/analytics/shares", "/analytics/shares"):
                assert (await client.get(url + path, params={"min": "much"})).status_code == 400


async def test_a_database_that_is_away_is_said() -> None:
    port = unused_port()
    async with dashboard(ClickHouseAddress(port=port)) as url:
        text = await page(url, {}, 503)
        assert "The database is away." in text
        assert f"http://127.0.0.1:{port}/ping" in text
        async with httpx.AsyncClient(timeout=60) as client:
            for path in ("/api/analytics", "/api/analytics/shares", "/analytics/shares", "/analytics/export/csv"):
                answer = await client.get(url + path, params={"id": "x"})
                assert answer.status_code == 503
                assert "The database is away." in answer.text
            assert (await client.get(f"{url}/api/exports/x")).json()["state"] == "failed"
