"""The dashboard as an ASGI application: the pages, their files, and a probe."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.middleware.gzip import GZipMiddleware

from services.dashboard import analytics, blocks, exports, happenings, live, login, pools, stats, storage, workers
from services.dashboard.assets import PLACE, Assets
from services.dashboard.attempts import Attempts
from services.dashboard.guard import GuardMiddleware
from services.dashboard.live_charts import LiveHistory
from services.dashboard.login_session import Credentials
from services.dashboard.overview import Overview
from services.dashboard.pages import NOT_STORED, Pages
from services.dashboard.trends import kept_trends
from services.dashboard.view_stream import ViewStream
from services.dashboard.yesterday import kept_yesterday
from services.warehouse.analysis import Analysis
from services.warehouse.feed import Feed
from services.warehouse.queries import Queries
from services.web.access import AccessMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

    from services.dashboard.options import DashboardOptions

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(options: DashboardOptions) -> FastAPI:
    """The application for `options`. It starts, and stays up, without ClickHouse: the page then says so."""
    queries = Queries(options.clickhouse)
    analysis = Analysis(options.clickhouse, deadline_seconds=options.analysis_seconds)
    overview = Overview(queries, options, kept_yesterday(analysis).at_once)
    stream = ViewStream(overview.look, options.interval_seconds)
    feed = Feed(queries)
    assets = Assets()
    pages = Pages(assets.path)
    credentials = Credentials(options.password, options.tokens)
    attempts = Attempts()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The first query connects: a database that hangs must not hold up the start.
        yield
        await queries.close()
        await analysis.close()

    app = FastAPI(title="Sharehouse dashboard", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.streams = (stream, feed)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
    app.add_middleware(GuardMiddleware, credentials=credentials, attempts=attempts)
    app.add_middleware(AccessMiddleware, headers=_HEADERS, failure=_failure, trusted_proxies=options.trusted_proxies)

    app.include_router(login.router(credentials, attempts, pages))
    app.include_router(live.router(options, stream, LiveHistory(analysis), kept_trends(analysis), pages))
    app.include_router(analytics.router(options, analysis, pages))
    app.include_router(exports.router(options))
    app.include_router(workers.router(options, analysis, pages))
    app.include_router(pools.router(options, analysis, pages))
    app.include_router(storage.router(options, analysis, pages))
    app.include_router(blocks.router(options, analysis, pages))
    app.include_router(stats.router(options.stratum, stream, overview))
    app.include_router(happenings.router(feed))

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"}, headers=NOT_STORED)

    app.mount(PLACE, assets)
    return app


def _failure(_request_id: str) -> ASGIApp:
    return PlainTextResponse("The page failed; the dashboard's log says why\n", 500)
