"""The pages of workers, pools, storage and blocks: over the generated week, over an empty store, and without one."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.bench.generate_shares import HOSTILE, ODD
from services.dashboard.links import worker_path
from services.dashboard.periods import Period
from services.dashboard.workers import state_changes
from services.tests.conftest import run_sql, unused_port
from services.tests.dashboard.conftest import dashboard, keep
from services.tests.dashboard.generated import reasons
from services.warehouse.address import ClickHouseAddress
from services.warehouse.worker_history import Silence

if TYPE_CHECKING:
    from services.tests.dashboard.generated import Generated

pytestmark = pytest.mark.timeout(300)

PAGES = ("analytics", "workers", "workers/somebody", "pools", "storage", "blocks")


async def page(url: str, path: str, status: int = 200) -> str:
    async with httpx.AsyncClient(timeout=150) as client:
        answer = await client.get(f"{url}/{path}")
    assert answer.status_code == status, path
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=", answer.text), path
    return answer.text


async def facts(url: str, path: str, **asked: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=150) as client:
        answer = await client.get(f"{url}/api/{path}", params=asked)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_workers_page_tells_its_part(generated: Generated) -> None:
    start, end = generated.end - 400_000, generated.end - 600
    asked = f"?from={start}&to={end}"
    async with dashboard(generated.address, analysis_seconds=120) as url:
        # Whoever mined last is connected.
        name = next(share.worker for share in generated.shares[::-1] if share.worker.startswith("farm."))
        told = await facts(url, "worker", name=name, **{"from": str(start), "to": str(end)})
        mine = generated.matching(start, end, worker=name)
        pool = generated.matching(start, end, pool=mine[0].pool, accepted=True)
        accepted = [share for share in mine if share.accepted]
        assert (told["sums"]["accepted"], told["sums"]["rejected_by_reason"]) == (len(accepted), reasons(mine))
        (part,) = told["parts"]
        assert math.isclose(part["own"], math.fsum(share.credited for share in accepted))
        assert math.isclose(part["whole"], math.fsum(share.credited for share in pool))
        assert told["sessions"]
        text = await page(url, worker_path(name) + asked)
        assert f'title="{len(accepted):,}"' in text
        assert "● connected" in text
        assert 'aria-current="page">Workers' in text


async def test_any_name_has_its_page(generated: Generated) -> None:
    async with dashboard(generated.address, analysis_seconds=120) as url:
        everybody = await page(url, "workers?period=7d")
        for name in (HOSTILE, ODD):
            assert name not in everybody
            assert f'href="./{worker_path(name)}"' in everybody
            text = await page(url, f"{worker_path(name)}?period=7d")
            assert f"<title>{html.escape(name)} · Sharehouse</title>" in text
            assert "Mean hash rate" in text
            assert name not in text.replace(html.escape(name), "")
            # Its own links lead back to it, and to the other pages, however deep the browser takes it to be.
            assert f'href="../{worker_path(name)}?period=6h"' in text
        for name in ("..", "a\nb/%00\0", "\\", ""):
            text = await page(url, worker_path(name))
            assert "Nothing is known of a worker of just this name" in text
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(f"{url}/workers", params={"go": ODD, "period": "7d"})
            assert answer.status_code == 303
            assert answer.headers["location"] == f"./{worker_path(ODD)}?period=7d"
            assert (await client.get(f"{url}/api/worker")).status_code == 400
            assert (await client.get(f"{url}/workers?period=9d")).status_code == 400


async def test_failovers_are_told(generated: Generated) -> None:
    async with dashboard(generated.address, analysis_seconds=120) as url:
        told = await facts(url, "pools/history", period="24h")
        changes = [(one["proxy"], one["state"], one["pool"]) for one in told["changes"]]
        for proxy in ("proxy-1", "proxy-2"):
            assert [change[1:] for change in changes if change[0] == proxy] == [
                ("ready", "pool.example:3333"),
                ("ready", "backup.pool.example:3333"),
                ("away", "pool.example:3333"),
            ]
        text = await page(url, "pools?period=24h")
        assert text.count("▲ moved") == 4
        assert text.count("■ away") == 2
        assert "backup.pool.example:3333" in await page(url, "pools?period=7d")
        await page(url, "pools?period=9d", 400)


async def test_storage_and_blocks(generated: Generated) -> None:
    async with dashboard(generated.address, analysis_seconds=120) as url:
        told = await facts(url, "storage")
        assert sum(day["rows"] for day in told["status"]["days"]) == len(generated.shares)
        assert told["audit"] is None
        text = await page(url, "storage")
        assert "Shares stay on this machine's disk." in html.unescape(text)
        assert "● records" in text
        blocks = await facts(url, "blocks")
        best = sorted((share for share in generated.shares if share.accepted), key=lambda share: -share.actual)[:3]
        assert {one["block_hash"] for one in blocks["candidates"]} == {share.block_hash for share in best}
        assert blocks["found_total"] == 5
        text = await page(url, "blocks")
        assert text.count("● accepted by the pool") == 3
        assert all(share.block_hash in text for share in best)


async def test_an_empty_store_says_what_to_do(store: ClickHouseAddress) -> None:
    async with dashboard(store, analysis_seconds=120) as url:
        assert "No share matches." in await page(url, "analytics")
        assert "the page Live says how to connect one" in await page(url, "workers")
        assert "No proxy lives" in await page(url, "pools")
        assert "None yet. A share becomes one" in await page(url, "blocks")
        text = await page(url, "storage")
        assert "None has come to its end yet" in text
        run_sql(
            store,
            f"INSERT INTO {store.database}.audits (started, seconds, period_start, period_end, worker, shares, jobs,"
            " mismatches) SELECT now64(3), 2.5, 1789000000, 1789086400, '<b>', 12345, 7, map('hash', 3)",
        )
        text = await page(url, "storage")
        assert "■ Not all shares are sound: hash 3." in text
        assert "of the worker &lt;b&gt;" in text


async def test_a_worker_without_shares_is_known_by_its_connection(store: ClickHouseAddress) -> None:
    await keep(store, "rig.one", reason="stale", age_seconds=30)
    async with dashboard(store, analysis_seconds=120) as url:
        text = await page(url, "workers/rig.one?period=1h")
        assert "0 %" in text
        assert "connected from 10.0.0.1:5000" in await page(url, "workers/rig.one?period=6h")


async def test_every_page_says_that_the_database_is_away() -> None:
    async with dashboard(ClickHouseAddress(port=unused_port())) as url:
        for path in PAGES:
            assert "The database is away." in await page(url, path, 503)
        async with httpx.AsyncClient(timeout=60) as client:
            for path in ("worker?name=x", "pools/history", "storage", "blocks", "analytics"):
                answer = await client.get(f"{url}/api/{path}")
                assert answer.status_code == 503
                assert answer.json()["error"].startswith("The database is away")


def test_changes_of_a_worker_are_those_of_the_period() -> None:
    changes = state_changes((), (Silence(50, 150), Silence(300, 1000)), Period("custom", 100, 900))
    assert [(one.at, one.kind) for one in changes] == [(300, "silent"), (150, "back")]
