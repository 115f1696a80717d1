"""The live page: one page, and its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from fastapi.sse import EventSourceResponse

from services.dashboard.connect import stratum_lines
from services.dashboard.guard import host_name
from services.dashboard.miners import COLUMNS
from services.dashboard.pages import NOT_STORED
from services.dashboard.tiles import TILES

if TYPE_CHECKING:
    from services.dashboard.feed import Feed
    from services.dashboard.options import DashboardOptions
    from services.dashboard.pages import Pages


def router(options: DashboardOptions, feed: Feed, pages: Pages) -> APIRouter:
    """`/` and `/events`."""
    routes = APIRouter()

    @routes.get("/")
    async def live(request: Request) -> HTMLResponse:
        lines, note = stratum_lines(options.stratum, host_name(request.headers.get("host", "")))
        view = await feed.view()
        return pages.answer(
            request, "live.html", view=view, tiles=TILES, columns=COLUMNS, stratum=lines, stratum_note=note
        )

    @routes.get("/events")
    async def events() -> Response:
        if feed.full:
            return PlainTextResponse("Too many pages are open\n", 503)
        return EventSourceResponse(feed.events(), headers={**NOT_STORED, "X-Accel-Buffering": "no"})

    return routes
