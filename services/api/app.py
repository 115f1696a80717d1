"""The REST API as an ASGI application."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from services.api.bounds import BoundsMiddleware
from services.api.compression import CompressionMiddleware
from services.api.entity_tags import EntityTagMiddleware
from services.api.errors import error_response, install_error_handlers
from services.api.events import event_routes
from services.api.periods import period_routes
from services.api.proofs import proof_routes
from services.api.rate_limits import RateLimitMiddleware, RateLimits
from services.api.raw_shares import raw_share_routes
from services.api.reference import install_reference
from services.api.reload import reload_routes
from services.api.routes import health_routes, stats_routes
from services.api.shared_answers import SharedAnswers
from services.api.summary import summary_routes
from services.api.tokens import TokenBook
from services.warehouse.feed import Feed
from services.warehouse.queries import Queries
from services.warehouse.raw_shares import RawShares
from services.warehouse.revisions import Revisions
from services.web.access import AccessMiddleware

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import ASGIApp

    from services.api.options import ApiOptions

_DESCRIPTION = """\
Figures of miners, workers and pools, from the shares that the proxy keeps.

Hash rate = sum of the credited difficulty of accepted shares * 2^32 / seconds of the window; 1 Gh/s = 10^9 hashes per
second. Windows are exact to the second and end now; *yesterday* is the previous UTC day. All times are UTC, in unix
seconds. Every answer has the header `X-Request-ID`.
"""

# The documentation pages set their own, wider policy; JSON needs none of what a page may do.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
# What a page of another origin may read beside the body.
_EXPOSED = [
    "ETag",
    "Retry-After",
    "X-Next-Cursor",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
    "X-Total-Count",
]


def create_app(options: ApiOptions, clock: Callable[[], float] = time.time) -> FastAPI:
    """The application for `options`; `clock` gives now, unix seconds.

    It starts, and stays up, without ClickHouse: requests that need it get a 503 until it is there.
    """
    queries, revisions = Queries(options.clickhouse), Revisions(options.clickhouse)
    feed, raw = Feed(queries, clock), RawShares(options.clickhouse)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The first query connects: a database that hangs must not hold up the start.
        yield
        await queries.close()
        await revisions.close()
        await raw.close()

    app = FastAPI(
        title="Sharehouse API",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # The way to a path without its slash would lead out of a TLS proxy, with the token.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.token_book = TokenBook(options)
    app.state.feed = feed
    app.state.rate_limits = RateLimits(options.rate_limits)
    # The last one added is the first to see a request.
    app.add_middleware(EntityTagMiddleware)
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(BoundsMiddleware)
    app.add_middleware(RateLimitMiddleware, limits=app.state.rate_limits)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=options.cors_origins,
        allow_methods=["GET"],
        allow_headers=["Authorization", "If-None-Match", "Last-Event-ID"],
        expose_headers=_EXPOSED,
        max_age=86_400,
    )
    app.add_middleware(AccessMiddleware, headers=_HEADERS, failure=_failure, trusted_proxies=options.trusted_proxies)
    install_error_handlers(app)
    install_reference(app)
    shared = SharedAnswers()
    app.include_router(health_routes(queries, shared, clock))
    app.include_router(summary_routes(queries, shared, options, clock))
    app.include_router(stats_routes(queries, shared, options, clock))
    app.include_router(period_routes(queries, shared, options, clock))
    app.include_router(raw_share_routes(raw))
    app.include_router(proof_routes(queries))
    app.include_router(event_routes(feed))
    app.include_router(reload_routes(queries, revisions, clock))
    return app


def _failure(request_id: str) -> ASGIApp:
    return error_response(request_id, 500, "INTERNAL_ERROR", "The request failed; the log says why")
