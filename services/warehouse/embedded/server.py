"""The embedded ClickHouse server: ClickHouse's HTTP interface over the chdb engine in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from services.warehouse.embedded.access import Access
from services.warehouse.embedded.cold import complain, open_engine
from services.warehouse.embedded.front import Front
from services.warehouse.embedded.handler import Handler

if TYPE_CHECKING:
    from services.warehouse.embedded.options import EmbeddedOptions

log = structlog.get_logger()

# A statement of the largest size in the URL, some of it percent-encoded (ClickHouse's http_max_uri_size is 1 MiB too).
MAX_URL_BYTES = 1 << 20


async def serve(options: EmbeddedOptions) -> None:
    """Serve until cancelled, then let what runs end and close the engine.

    Until the engine is open, requests are answered 503; it waits for S3 where old rows lie there and S3 is away.
    Raises OSError for a port or data folder in use, ConfigurationError for storage that cannot be used, and
    EngineError for a data folder that the engine cannot open.
    """
    access = Access(options.user, options.password, options.host)
    front = Front(access)
    application = web.Application()
    application.router.add_get("/ping", front.ping)
    application.router.add_get("/replicas_status", front.ping)  # no replica lags, for there is none
    application.router.add_route("*", "/", front.answer)
    runner = web.AppRunner(
        application,
        auto_decompress=False,  # request.py unpacks, within bounds
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=5,
        max_line_size=MAX_URL_BYTES,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port, backlog=512).start()
        engine = await open_engine(options, front.waits)
        handler = front.handler = Handler(engine, access, options)
        try:
            log.info("clickhouse_ready", host=options.host, port=options.port, version=engine.text("SELECT version()"))
            if options.cold is not None:
                await complain(options.cold)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
            handler.close()
            engine.close()
    finally:
        await runner.cleanup()
