"""An ASGI application's process: a listening socket, uvicorn on it, and an end without a cut answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import structlog
import uvicorn

from services.web.connection import REQUEST_SECONDS, bounded_connection
from services.web.places import Places, most_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

log = structlog.get_logger()

_GRACE_SECONDS = 5
# Longer than clients that ask now and then, or reverse proxies (60 s), keep theirs: they should be the first to close.
_IDLE_SECONDS = 75


async def serve_app(
    app: ASGIApp, host: str, port: int, *, name: str, port_setting: str, before_stop: Callable[[], None] | None = None
) -> None:
    """Serve until this task is cancelled; then requests in flight are answered, for up to 5 s.

    ``before_stop`` ends answers that would never end by themselves. Raises OSError, with the address and the setting to
    change, if the port cannot be had.
    """
    listener = _listen(host, port, name, port_setting)
    server = _Server(server_config(app, Places(most_connections())))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    bound_host, bound_port = listener.getsockname()[:2]
    log.info("listening", service=name, host=bound_host, port=bound_port)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        if before_stop is not None:
            before_stop()
        server.should_exit = True
        await running
        raise


def server_config(
    app: ASGIApp, places: Places, *, request_seconds: float = REQUEST_SECONDS, grace_seconds: int = _GRACE_SECONDS
) -> uvicorn.Config:
    """How uvicorn serves here, in tests too."""
    return uvicorn.Config(
        app,
        http=bounded_connection(places, request_seconds),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: whoever runs the task decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, name: str, port_setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=1024)
    except OSError as error:
        raise OSError(
            error.errno, f"the {name} cannot listen on {host}:{port} ({error.strerror}): set {port_setting}"
        ) from None
