"""The live page: the page, its events, and its charts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
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

if TYPE_CHECKING:
    from services.dashboard.feed import Feed
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages

_NUMBERS: Final = frozenset(
    {"hash_rate", "accepted", "rejected", "rate", "pool_difficulty", "difficulty", "last_share", "best", "connected"}
)


def router(options: DashboardOptions, feed: Feed, history: LiveHistory, pages: Pages) -> APIRouter:
    """`/`, `/events` and `/charts`."""
    routes = APIRouter()

    @routes.get("/")
    async def live(request: Request) -> HTMLResponse:
        lines, note = stratum_lines(options.stratum, host_name(request.headers.get("host", "")))
        view = await feed.view()
        asked = MinerFilter.of(request.query_params)
        chosen = asked.chosen(view.miners.values())
        page = min(asked.page, max(1, -(-len(chosen) // PAGE_ROWS)))
        shown = chosen[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
        span = _span(request)
        charts = await history.soon(span, int(time.time()))
        return pages.answer(
            request,
            "live.html",
            view=view,
            tiles=TILES,
            columns=COLUMNS,
            numbers=_NUMBERS,
            fields=FIELDS,
            states=STATES,
            asked=asked,
            matching=len(chosen),
            folded=sum(miner.state == "left" for miner in view.miners.values()) if not asked.state else 0,
            page=page,
            last_page=max(1, -(-len(chosen) // PAGE_ROWS)),
            rows=[(miner, miner_cells(miner, int(view.now))) for miner in shown],
            span=span,
            spans=SPANS,
            charts=charts,
            stratum=lines,
            stratum_note=note,
        )

    @routes.get("/events")
    async def events() -> Response:
        if feed.full:
            return PlainTextResponse("Too many pages are open\n", 503)
        return EventSourceResponse(feed.events(), headers={**NOT_STORED, "X-Accel-Buffering": "no"})

    @routes.get("/charts")
    async def charts(request: Request) -> Response:
        found = await history.charts(_span(request), int(time.time()))
        return Response(msgspec.json.encode(found), media_type="application/json", headers=NOT_STORED)

    return routes


def _span(request: Request) -> str:
    span = request.query_params.get("span", "")
    return span if span in SPANS else DEFAULT_SPAN
