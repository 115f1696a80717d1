"""The demo pool on a TCP port."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import TYPE_CHECKING

import structlog

from services.demo.full_node import FullNode, NodeError
from services.demo.node_chain import NodeChain
from services.demo.pool import DemoPool
from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from services.demo.full_node import NodeAddress
    from services.demo.options import DemoPoolOptions
    from services.demo.session import MinerSession

log = structlog.get_logger()

_BACKLOG = 4096
_TICK_SECONDS = 2.0
# A miner that reads nothing for this long's worth of jobs is gone, whatever its socket says.
_MAX_UNSENT_BYTES = 1024 * 1024
_OTHER_FILES = 64


class DemoPoolServer:
    """The pool and its listening socket. ``async with`` starts and stops it; ``port`` is the real one, also for 0."""

    def __init__(self, options: DemoPoolOptions) -> None:
        self._options = options
        self._connections: set[_Connection] = set()
        self._resources = contextlib.AsyncExitStack()

    async def __aenter__(self) -> DemoPoolServer:
        """Raises OSError for a folder, port or node that cannot be used, ChainStateError for a foreign state file."""
        options = self._options
        _allow_open_files(options.max_connections + _OTHER_FILES)
        chain = None if options.node is None else await self._open_node(options.node)
        self.pool = DemoPool(options, chain)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(self.pool, self._connections, options.max_connections),
                options.host,
                options.port,
                backlog=_BACKLOG,
            )
        except OSError:
            self.pool.close()
            await self._resources.aclose()
            raise
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._tasks = [asyncio.create_task(self._tick())]
        if chain is not None:
            self._tasks.append(asyncio.create_task(chain.follow(lambda is_new: self.pool.announce(clean_jobs=is_new))))
        log.info("demo_pool_listening", host=options.host, port=self.port, height=self.pool.height)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.close()
        self.drop_connections()
        await self._server.wait_closed()
        await self._resources.aclose()
        self.pool.close()
        log.info("demo_pool_stopped", height=self.pool.height)

    async def _open_node(self, address: NodeAddress) -> NodeChain:
        node = await self._resources.enter_async_context(FullNode(address))
        try:
            return await NodeChain.opened(node)
        except NodeError:
            await self._resources.aclose()
            raise

    def drop_connections(self) -> None:
        """Closes every miner's connection; what was written to it is still sent."""
        for connection in tuple(self._connections):
            connection.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.pool.tick()


class _Connection(asyncio.Protocol):
    def __init__(self, pool: DemoPool, connections: set[_Connection], max_connections: int) -> None:
        self._pool = pool
        self._connections = connections
        self._max_connections = max_connections
        self._session: MinerSession | None = None

    # uvloop's transports have the interface of asyncio.Transport without being one.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        if len(self._connections) >= self._max_connections:
            log.warning("connection_refused", limit=self._max_connections)
            transport.close()
            return
        self._connections.add(self)
        self._session = self._pool.connect(self._write)

    def data_received(self, data: bytes) -> None:
        if self._session is None or self._transport.is_closing():
            return
        try:
            self._session.receive(data)
        except ProtocolError as error:
            log.info("connection_closed", reason=str(error))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._session is not None:
            self._pool.disconnect(self._session)

    def close(self) -> None:
        self._transport.close()

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            log.info("connection_closed", reason="the miner reads too slowly")
            self._transport.abort()


def _allow_open_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def serve(options: DemoPoolOptions) -> None:
    """Runs the pool until its task is cancelled."""
    async with DemoPoolServer(options):
        await asyncio.Event().wait()
