"""The dashboard as an ASGI application: one page, its events, its files, and a probe."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.sse import EventSourceResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from services.dashboard.connect import stratum_lines
from services.dashboard.drawing import draw
from services.dashboard.feed import Feed
from services.dashboard.guard import GuardMiddleware, host_name
from services.dashboard.miners import COLUMNS
from services.dashboard.overview import Overview
from services.dashboard.tiles import TILES
from services.warehouse.queries import Queries
from services.web.access import AccessMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from services.dashboard.options import DashboardOptions

_ROOM = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_STORED = {"Cache-Control": "no-store"}


def create_app(options: DashboardOptions) -> FastAPI:
    """The application for `options`. It starts, and stays up, without ClickHouse: the page then says so."""
    queries = Queries(options.clickhouse)
    feed = Feed(Overview(queries, options).look, options.interval_seconds)
    templates = Environment(
        loader=FileSystemLoader(_ROOM / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = templates.get_template("live.html")

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The first query connects: a database that hangs must not hold up the start.
        yield
        await queries.close()

    app = FastAPI(title="Sharehouse dashboard", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.feed = feed
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(GuardMiddleware, options=options)
    app.add_middleware(AccessMiddleware, headers=_HEADERS, failure=_failure, trusted_proxies=options.trusted_proxies)

    @app.get("/")
    async def live(request: Request) -> HTMLResponse:
        view = await feed.view()
        lines, note = stratum_lines(options.stratum, host_name(request.headers.get("host", "")))
        text = page.render(
            view=view, drawing=draw(view.chart), tiles=TILES, columns=COLUMNS, stratum=lines, stratum_note=note
        )
        return HTMLResponse(text, headers=_NOT_STORED)

    @app.get("/events")
    async def events() -> Response:
        if feed.full:
            return PlainTextResponse("Too many pages are open\n", 503)
        return EventSourceResponse(feed.events(), headers={**_NOT_STORED, "X-Accel-Buffering": "no"})

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"}, headers=_NOT_STORED)

    app.mount("/static", StaticFiles(directory=_ROOM / "static"), name="static")
    return app


def _failure(_request_id: str) -> ASGIApp:
    return PlainTextResponse("The page failed; the dashboard's log says why\n", 500)
