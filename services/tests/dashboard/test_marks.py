"""What happened stands in the charts of its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from services.tests.dashboard.conftest import dashboard, keep
from services.warehouse.analysis import Analysis
from services.warehouse.reload_history import Reload, reloads
from services.warehouse.revisions import RevisionAnswer, Revisions

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


async def answer(store: ClickHouseAddress, *answers: RevisionAnswer) -> None:
    revisions = Revisions(store)
    for one in answers:
        await revisions.answer(one)
    await revisions.close()


def told(at: float, proxy: str = "proxy-1", **facts: Any) -> RevisionAnswer:
    chosen: dict[str, Any] = {"applied": True, "changed_pools": (), "error": ""} | facts
    return RevisionAnswer(
        revision=str(uuid4()), answered_ms=int(at * 1000), proxy=proxy, instance=str(uuid4()), **chosen
    )


async def test_what_processes_answer_closely_is_one_reload(store: ClickHouseAddress) -> None:
    now = int(time.time())
    note = "takes effect at the next start: PROXY_HOST"
    await answer(
        store,
        told(now - 500, changed_pools=("normal",), error=note),
        told(now - 498.5, "proxy-2", changed_pools=("normal", "high_diff")),
        told(now - 200),
        told(now - 195, "proxy-2", applied=False, error="port 3333 is taken"),
        told(now - 7200, changed_pools=("before",)),
    )
    analysis = Analysis(store)
    found = await reloads(analysis, now - 3600, now)
    await analysis.close()
    assert found == (
        Reload(now - 200, ("proxy-1", "proxy-2"), (), "port 3333 is taken"),
        Reload(now - 500, ("proxy-1", "proxy-2"), ("high_diff", "normal"), ""),
    )


async def test_charts_and_their_json_have_marks_of_reloads(store: ClickHouseAddress) -> None:
    now = int(time.time())
    await keep(store, "rig.one", age_seconds=300, count=5)
    await answer(
        store,
        told(now - 600, changed_pools=("normal",)),
        told(now - 400, applied=False, error="port 3333 is taken"),
    )
    wanted = [
        (now - 600, "configuration read anew: normal", "accent"),
        (now - 400, "configuration refused: port 3333 is taken", "bad"),
    ]
    async with dashboard(store) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        live = (await client.get("/charts?span=1h")).json()
        facts = (await client.get("/api/analytics?period=1h")).json()
        history = (await client.get("/api/pools/history?period=1h")).json()
        for page in ("analytics", "pools"):
            assert "configuration refused: port 3333 is taken" in (await client.get(f"/{page}?period=1h")).text
    for marks in (facts["marks"], *(live[name]["marks"] for name in ("pools", "workers", "verdicts"))):
        assert [(mark["at"], mark["text"], mark["ink"]) for mark in marks] == wanted
    assert [one["refusal"] for one in history["reloads"]] == ["port 3333 is taken", ""]
