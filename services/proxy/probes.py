"""/metrics, /healthz and /readyz on a port of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import generate_latest

from services.proxy.endpoint import host_and_port

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from services.warehouse.spool import Spool


CONTENT_TYPE: Final = "text/plain; version=0.0.4"


class Probes:
    """``ready`` is set once miners are taken, and cleared when no more are; the spool has a say too."""

    def __init__(self, registry: CollectorRegistry, spool: Spool) -> None:
        self.ready = False
        self.registry = registry
        self._spool = spool
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The real one, also where 0 was asked for."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def open(self, host: str, port: int, socket: Path | None = None) -> None:
        """On the Unix socket, where there is one. Raises OSError, with the address in it, where it cannot be had."""
        routes = [
            web.get("/metrics", self._metrics),
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
        ]
        self._runner = await listen(routes, host, port, socket)

    async def close(self) -> None:
        """Closes the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self.ready:
            return web.Response(status=503, text="no miners are taken\n")
        if not self._spool.is_recording:
            return web.Response(status=503, text="shares cannot be recorded: the spool is full or its disk failing\n")
        return web.Response(text="ready\n")


async def listen(routes: list[web.RouteDef], host: str, port: int, socket: Path | None = None) -> web.AppRunner:
    """Serves the routes. Raises OSError, with the address in it, where it cannot be had."""
    app = web.Application(client_max_size=1024)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port) if socket is None else web.UnixSite(runner, socket)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        where = host_and_port(host, port) if socket is None else str(socket)
        raise OSError(
            f"metrics cannot listen on {where}: {error.strerror or error}; set METRICS_PORT to a free port"
        ) from error
    return runner
