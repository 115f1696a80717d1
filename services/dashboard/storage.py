"""Storage: where the shares lie, what moves to S3, what waits in the proxies' spools, and when it was last audited."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from services.dashboard.answers import Answers
from services.dashboard.charts import Chart, Trace
from services.dashboard.pages import NOT_STORED
from services.dashboard.trouble import GoneError, trouble, while_present
from services.warehouse.client import answered_within
from services.warehouse.moving import hot_disks, latest_audit, moves
from services.warehouse.pool_history import living_proxies
from services.warehouse.storage_status import storage_status

if TYPE_CHECKING:
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.warehouse.analysis import Analysis
    from services.warehouse.storage_status import StorageStatus

_MOST_DAYS = 60


@dataclass(frozen=True, slots=True)
class Volume:
    """All shares of one volume."""

    name: str
    rows: int
    bytes_on_disk: int
    parts: int
    uncompressed_bytes: int


def router(options: DashboardOptions, analysis: Analysis, pages: Pages) -> APIRouter:
    """`/storage`, and `/api/storage`."""
    routes = APIRouter()

    async def find(request: Request) -> tuple[Answers, dict[str, Any]]:
        answers = Answers()
        return answers, await while_present(request, _facts(options, analysis, answers))

    @routes.get("/storage")
    async def shown(request: Request) -> Response:
        try:
            answers, facts = await find(request)
        except GoneError:
            return PlainTextResponse("", 499)
        error = answers.errors[0] if answers.errors else None
        status = facts.get("status")
        return pages.answer(
            request,
            "storage.html",
            here="storage",
            status=503 if error else 200,
            trouble=trouble(error, options.clickhouse) if error else None,
            facts=facts,
            volumes=volumes(status) if status else (),
            days_chart=days_chart(status) if status else None,
            most_days=_MOST_DAYS,
        )

    @routes.get("/api/storage")
    async def told(request: Request) -> Response:
        try:
            answers, facts = await find(request)
        except GoneError:
            return PlainTextResponse("", 499)
        if answers.errors:
            body = msgspec.json.encode({"error": trouble(answers.errors[0], options.clickhouse).sentence})
            return Response(body, 503, NOT_STORED, "application/json")
        return Response(msgspec.json.encode(facts), 200, NOT_STORED, "application/json")

    return routes


async def _facts(options: DashboardOptions, analysis: Analysis, answers: Answers) -> dict[str, Any]:
    async def status() -> StorageStatus:
        with answered_within(options.analysis_seconds):
            async with asyncio.timeout(options.analysis_seconds):
                return await storage_status(options.clickhouse)

    now = int(time.time())
    told, moving, disks, proxies, audit = await asyncio.gather(
        answers.of(status()),
        answers.of(moves(analysis)),
        answers.of(hot_disks(analysis)),
        answers.of(living_proxies(analysis, now)),
        answers.of(latest_audit(analysis)),
    )
    return {"status": told, "moves": moving, "disks": disks, "proxies": proxies or (), "audit": audit, "at": now}


def volumes(status: StorageStatus) -> tuple[Volume, ...]:
    """The sums of each volume, in the policy's order."""
    found = []
    for name in status.volumes:
        own = [day for day in status.days if day.volume == name]
        found.append(
            Volume(
                name,
                sum(day.rows for day in own),
                sum(day.bytes_on_disk for day in own),
                sum(day.parts for day in own),
                sum(day.uncompressed_bytes for day in own),
            )
        )
    return tuple(found)


def days_chart(status: StorageStatus) -> Chart | None:
    """Bytes by day and volume, the latest days; None without a share."""
    days = sorted({day.day for day in status.days})[-_MOST_DAYS:]
    if not days:
        return None
    stored = {(day.day, day.volume): float(day.bytes_on_disk) for day in status.days}
    inks = {"hot": "2", "cold": "1"}
    traces = tuple(
        Trace(volume, tuple(stored.get((day, volume), 0.0) for day in days), inks.get(volume, "8"), "bars")
        for volume in reversed(status.volumes)
    )
    labels = tuple(f"{day[4:6]}-{day[6:]}" for day in days)
    return Chart(0, 1, traces, "B", labels=labels, stacked=True)
