from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from services.proxy.options import PoolOptions, ProxyOptions
from services.proxy.server import Proxy
from services.tests.conftest import unused_port
from services.tests.proxy.scripted_pool import Script, ScriptedPool
from services.warehouse.address import ClickHouseAddress

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    Started = Callable[..., AbstractAsyncContextManager[Proxy]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the command runs a proxy on."""
    return {"uvloop": uvloop.new_event_loop}


def proxy_options(
    spool: Path, pool_port: int, clickhouse: ClickHouseAddress | None = None, **more: Any
) -> ProxyOptions:
    """One pool called normal, no spare connections; without ClickHouse the shares stay in the spool."""
    host, user = more.pop("pool_host", "127.0.0.1"), more.pop("user", "pool-wallet")
    tls_port = 0 if "tls" in more else None
    pool = PoolOptions("normal", 0, host, pool_port, user, "pool-password", tls_listen_port=tls_port)
    mode = more.pop("mode", "dedicated")
    pools = tuple(replace(one, mode=mode) for one in more.pop("pools", (pool,)))
    return ProxyOptions(
        name="test-proxy",
        pools=pools,
        spool=spool,
        clickhouse=clickhouse or ClickHouseAddress(port=unused_port()),
        host=more.pop("host", "127.0.0.1"),
        metrics_port=0,
        keeps_spare=more.pop("keeps_spare", False),
        drain_seconds=more.pop("drain_seconds", 0.1 if clickhouse is None else 30.0),
        **more,
    )


def miner_port(proxy: Proxy, label: str = "normal") -> int:
    return proxy.listeners[label].port


@pytest.fixture
def mode() -> str:
    """The pool's mode. Where what happens must be the same in both, a module has a fixture of this name for both."""
    return "dedicated"


@pytest.fixture
def started(tmp_path: Path, mode: str) -> Started:
    """Starts a proxy in front of the pool on a port, with options; a context manager."""

    @asynccontextmanager
    async def start(pool_port: int, clickhouse: ClickHouseAddress | None = None, **more: Any) -> AsyncIterator[Proxy]:
        options = proxy_options(tmp_path / "spool", pool_port, clickhouse, **{"mode": mode, **more})
        async with Proxy(options) as proxy:
            yield proxy

    return start


@pytest.fixture
async def pool() -> AsyncIterator[ScriptedPool]:
    """A scripted pool that accepts everything."""
    async with ScriptedPool(Script()) as scripted:
        yield scripted
