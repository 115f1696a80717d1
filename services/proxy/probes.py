"""/metrics, /healthz and /readyz on a port of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import generate_latest

from services.proxy.endpoint import host_and_port

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from services.warehouse.spool import Spool


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

    async def open(self, host: str, port: int) -> None:
        """Raises OSError, with the address in it, where the port cannot be had."""
        app = web.Application(client_max_size=1024)
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise OSError(
                f"metrics cannot listen on {host_and_port(host, port)}: {error.strerror or error}; "
                "set METRICS_PORT to a free port"
            ) from error

    async def close(self) -> None:
        """Closes the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self.ready:
            return web.Response(status=503, text="no miners are taken\n")
        if not self._spool.is_recording:
            return web.Response(status=503, text="shares cannot be recorded: the spool is full or its disk failing\n")
        return web.Response(text="ready\n")
