"""The live page: the page, its events, and its charts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from fastapi.sse import EventSourceResponse

from services.dashboard.connect import stratum_lines
from services.dashboard.guard import host_name
from services.dashboard.live_charts import DEFAULT_SPAN, SPANS, LiveHistory
from services.dashboard.miner_cells import COLUMNS, miner_cells
from services.dashboard.miner_filter import PAGE_ROWS, MinerFilter
from services.dashboard.miners import STATES
from services.dashboard.pages import NOT_STORED
from services.dashboard.pool_cards import FIELDS
from services.dashboard.tiles import TILES
from services.dashboard.trends import NO_TREND, Trend, Trends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.dashboard.kept import Kept
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages
    from services.dashboard.view import View
    from services.dashboard.view_stream import ViewStream

_NUMBERS: Final = frozenset(
    {"hash_rate", "accepted", "rejected", "rate", "pool_difficulty", "difficulty", "last_share", "best", "connected"}
)


def router(
    options: DashboardOptions, stream: ViewStream, history: LiveHistory, trends: Kept[Trends], pages: Pages
) -> APIRouter:
    """`/`, `/events`, `/charts` and `/trends`."""
    routes = APIRouter()

    async def facts(request: Request) -> dict[str, Any]:
        lines, note = stratum_lines(options.stratum, host_name(request.headers.get("host", "")))
        span, now = _span(request), int(time.time())
        view, charts = await asyncio.gather(stream.view(), history.soon(span, now))
        drawn = trends.at_once(now)
        return {
            **_table(MinerFilter.of(request.query_params), view, drawn.rows if drawn else {}),
            "view": view,
            "tiles": TILES,
            "fields": FIELDS,
            "span": span,
            "spans": SPANS,
            "charts": charts,
            "stratum": lines,
            "stratum_note": note,
        }

    @routes.get("/")
    async def live(request: Request) -> Response:
        return pages.streamed(request, "live_shell.html", "live.html", facts)

    @routes.get("/events")
    async def events() -> Response:
        if stream.full:
            return PlainTextResponse("Too many pages are open\n", 503)
        return EventSourceResponse(stream.events(), headers={**NOT_STORED, "X-Accel-Buffering": "no"})

    @routes.get("/charts")
    async def charts(request: Request) -> Response:
        found = await history.charts(_span(request), int(time.time()))
        return Response(msgspec.json.encode(found), media_type="application/json", headers=NOT_STORED)

    @routes.get("/trends")
    async def trends_of_all() -> Response:
        found = await trends.of(int(time.time()))
        return Response(msgspec.json.encode(found), media_type="application/json", headers=NOT_STORED)

    return routes


def _table(asked: MinerFilter, view: View, drawn: Mapping[str, Trend]) -> dict[str, Any]:
    """The miners that were asked for, a page of them."""
    chosen = asked.chosen(view.miners.values())
    last_page = max(1, -(-len(chosen) // PAGE_ROWS))
    page = min(asked.page, last_page)
    return {
        "columns": COLUMNS,
        "numbers": _NUMBERS,
        "states": STATES,
        "asked": asked,
        "matching": len(chosen),
        "folded": sum(miner.state == "left" for miner in view.miners.values()) if not asked.state else 0,
        "page": page,
        "last_page": last_page,
        "rows": [
            (miner, miner_cells(miner, int(view.now)), drawn.get(miner.key, NO_TREND))
            for miner in chosen[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
        ],
    }


def _span(request: Request) -> str:
    span = request.query_params.get("span", "")
    return span if span in SPANS else DEFAULT_SPAN
