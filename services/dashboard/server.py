"""The dashboard's process: a listening socket, uvicorn on it, and an end without a cut answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import structlog
import uvicorn

from services.dashboard.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.dashboard.options import DashboardOptions

log = structlog.get_logger()

_GRACE_SECONDS = 5


async def serve(options: DashboardOptions) -> None:
    """Serve until this task is cancelled; then open event streams end and requests in flight are answered.

    Raises OSError, with the address and the remedy, if the port cannot be had.
    """
    listener = _listen(options.host, options.port)
    app = create_app(options)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    log.info("dashboard_listening", host=host, port=port)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        # A page's event stream never ends by itself; uvicorn would wait for it.
        app.state.feed.close()
        server.should_exit = True
        await running
        raise


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the task decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(
            error.errno, f"the dashboard cannot listen on {host}:{port} ({error.strerror}): set DASHBOARD_PORT"
        ) from None
