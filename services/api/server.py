"""The API's process: a listening socket, uvicorn on it, and an end without a cut answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import structlog
import uvicorn

from services.api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.api.options import ApiOptions

log = structlog.get_logger()

_GRACE_SECONDS = 5


async def serve(options: ApiOptions) -> None:
    """Serve until this task is cancelled; then requests in flight are answered, for up to 5 s.

    Raises OSError, with the address and the remedy, if the port cannot be had.
    """
    listener = _listen(options.host, options.port)
    server = _Server(
        uvicorn.Config(
            create_app(options),
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
    log.info("api_listening", host=host, port=port)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
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
        raise OSError(error.errno, f"the API cannot listen on {host}:{port} ({error.strerror}): set API_PORT") from None
