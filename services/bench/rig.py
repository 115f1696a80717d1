"""What the proxy's benchmarks measure on: HAProxy and the proxy before one validating pool, each pinned to a core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from services.bench import announcing_pool, bare_relay
from services.bench.processes import free_port, service, wait_for_clickhouse, wait_for_port
from services.bench.share_load import EVERY_HASH
from services.demo.options import DemoPoolOptions
from services.proxy.options import Limits, PoolOptions, ProxyOptions
from services.proxy.server import serve as serve_proxy
from services.proxy.vardiff import VardiffOptions
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.proxy.options import Mode

MEASURED_CORE: Final = 0
OTHER_CORE: Final = 1
_MERKLE_BRANCHES: Final = 12
_NETWORK_DIFFICULTY: Final = 2.0**40  # no share is a block: the chain stands still
_NEVER_SECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the pool: the port to connect to, and the processes whose cost it is; where they serve metrics."""

    name: str
    port: int
    pids: tuple[int, ...]
    metrics_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rig:
    """``relay``, ``bare``, ``proxy`` and ``crew`` lead to the same pool, which announces a job at ``trigger_port``.

    ``bare`` is a relay in Python, ``crew`` several proxy processes on one port, where they were asked for. Shares end
    in ``clickhouse``.
    """

    trigger_port: int
    relay: Way
    bare: Way | None
    proxy: Way
    crew: Way | None
    clickhouse: ClickHouseAddress


@contextlib.contextmanager
def rig(*, mode: Mode = "dedicated", one_in: int = 1, workers: int = 1, bare: bool = False) -> Iterator[Rig]:
    """Starts everything, with every limit lifted that a load from one address would hit.

    The relay and the proxy run on MEASURED_CORE, everything else, the caller too, on OTHER_CORE. The pool validates
    every share, of 12 merkle branches. In shared mode the proxy's pool may be a harder one, which takes one share in
    ``one_in``. More than one of ``workers`` make a crew beside the proxy.
    """
    os.sched_setaffinity(0, {OTHER_CORE})
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as running:
        folder = Path(name)
        address = ClickHouseAddress(port=free_port(), password="bench")
        embedded = EmbeddedOptions(data=folder / "clickhouse", port=address.port, password=address.password)
        running.enter_context(service(serve_clickhouse, embedded, core=OTHER_CORE))
        pool = _pool(folder / "pool", EVERY_HASH)
        harder = pool if one_in == 1 else _pool(folder / "harder", EVERY_HASH * 2 * one_in)
        triggers = {pool.port: free_port(), harder.port: free_port()}
        for one in {pool.port: pool, harder.port: harder}.values():
            announcing = announcing_pool.AnnouncingPoolOptions(one, triggers[one.port])
            running.enter_context(service(announcing_pool.serve, announcing, core=OTHER_CORE))
            wait_for_port(triggers[one.port])
        wait_for_clickhouse(address.port)
        asyncio.run(migrate(address))
        proxy = ProxyOptions(
            name="bench",
            pools=(
                PoolOptions(
                    "normal",
                    0,
                    "127.0.0.1",
                    harder.port,
                    # This pool takes 32 names on one connection.
                    "bench.{worker}" if mode == "dedicated" else "bench",
                    mode=mode,
                    vardiff=VardiffOptions(start=EVERY_HASH, min=EVERY_HASH, max=EVERY_HASH),
                ),
            ),
            spool=folder / "spool",
            clickhouse=address,
            host="127.0.0.1",
            limits=Limits(connections_per_address=20_000, messages_per_second=1e6),
        )
        ours = running.enter_context(_proxies("proxy", proxy, 1))
        crew = running.enter_context(_proxies("crew", proxy, workers)) if workers > 1 else None
        copier = running.enter_context(_bare_relay(pool.port)) if bare else None
        relay = running.enter_context(_haproxy(folder, pool.port))
        yield Rig(triggers[harder.port], relay, copier, ours, crew, address)


@contextlib.contextmanager
def _proxies(name: str, options: ProxyOptions, workers: int) -> Iterator[Way]:
    """So many proxy processes on one port of their own."""
    port, metrics_ports = free_port(), tuple(free_port() for _ in range(workers))
    with contextlib.ExitStack() as running:
        pids = []
        for worker, metrics_port in enumerate(metrics_ports):
            one = replace(
                options,
                name=f"{name}/{worker}",
                pools=(replace(options.pools[0], listen_port=port),),
                metrics_port=metrics_port,
                worker=worker,
                workers=workers,
            )
            pids.append(running.enter_context(service(serve_proxy, one, core=MEASURED_CORE)))
            wait_for_port(metrics_port)
        yield Way(name, port, tuple(pids), metrics_ports)


def _pool(folder: Path, difficulty: float) -> DemoPoolOptions:
    return DemoPoolOptions(
        folder,
        port=free_port(),
        fixed_difficulty=difficulty,
        minimum_difficulty=EVERY_HASH,
        network_difficulty=_NETWORK_DIFFICULTY,
        merkle_branches=_MERKLE_BRANCHES,
        refresh_seconds=_NEVER_SECONDS,
    )


@contextlib.contextmanager
def _bare_relay(pool_port: int) -> Iterator[Way]:
    """A relay in Python to the pool."""
    port = free_port()
    options = bare_relay.BareRelayOptions(port, pool_port)
    with service(bare_relay.serve, options, core=MEASURED_CORE) as pid:
        wait_for_port(port)
        yield Way("bare", port, (pid,))


@contextlib.contextmanager
def _haproxy(folder: Path, pool_port: int) -> Iterator[Way]:
    """HAProxy as a TCP relay to the pool."""
    port = free_port()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        "global\n  nbthread 1\n  maxconn 5000\ndefaults\n  mode tcp\n  maxconn 5000\n"
        "  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n"
        f"listen relay\n  bind 127.0.0.1:{port}\n  server pool 127.0.0.1:{pool_port}\n"
    )
    binary = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        sys.exit("haproxy is not installed: apt-get install haproxy")
    process = subprocess.Popen([binary, "-db", "-q", "-f", configuration])
    os.sched_setaffinity(process.pid, {MEASURED_CORE})
    try:
        wait_for_port(port)
        yield Way("HAProxy", port, (process.pid,))
    finally:
        process.kill()
        process.wait()
