"""CPU time per share through the proxy, against HAProxy as a mere relay of the same traffic, alternating in one run.

    python -m services.bench.proxy_cpu [--shares 20000] [--rounds 3]

Every share is valid, is checked by a validating pool with 12 merkle branches, and ends in the embedded ClickHouse.
The relay and the proxy are pinned to the first core, everything else to the second. CPU per share is user and system
time of all threads of the process under measurement, spool writer and shipper included, through to the last share
stored. A run counts only if afterwards ClickHouse holds exactly the shares that were accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import clickhouse_connect

from services.bench.processes import cpu_seconds, free_port, service, wait_for_port
from services.bench.share_load import EVERY_HASH, load
from services.demo.options import DemoPoolOptions
from services.demo.server import serve as serve_pool
from services.proxy.options import PoolOptions, ProxyOptions
from services.proxy.server import serve as serve_proxy
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURED_CORE, OTHER_CORE = 0, 1
CONNECTIONS, WINDOW = 20, 16
NETWORK_DIFFICULTY = 2.0**40  # no share is a block: the chain stands still


@contextlib.contextmanager
def haproxy(folder: Path, pool_port: int) -> Iterator[tuple[int, int]]:
    """HAProxy as a TCP relay to the pool: its port and pid."""
    port = free_port()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(
        "global\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n"
        f"listen relay\n  bind 127.0.0.1:{port}\n  server pool 127.0.0.1:{pool_port}\n"
    )
    binary = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        sys.exit("haproxy is not installed: apt-get install haproxy")
    process = subprocess.Popen([binary, "-db", "-q", "-f", configuration])
    os.sched_setaffinity(process.pid, {MEASURED_CORE})
    try:
        wait_for_port(port)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def stored(address: ClickHouseAddress) -> int:
    """Accepted shares in ClickHouse."""
    client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=address.database,
    )
    with contextlib.closing(client):
        return int(client.query("SELECT count() FROM shares WHERE verdict = 'accepted'").result_rows[0][0])


def measure(port: int, pid: int, shares: int, address: ClickHouseAddress | None) -> tuple[float, float]:
    """Microseconds of CPU per share, and shares a second of wall-clock time."""
    before = stored(address) if address else 0
    cpu, started = cpu_seconds(pid), time.monotonic()
    tally = asyncio.run(load(port, shares=shares, connections=CONNECTIONS, window=WINDOW))
    seconds = time.monotonic() - started
    if tally.refused:
        sys.exit(f"not a valid run: {len(tally.refused)} shares refused, the first with {tally.refused[0]}")
    deadline = time.monotonic() + 30
    while address and (now := stored(address) - before) != tally.accepted:
        if time.monotonic() > deadline:
            sys.exit(f"not a valid run: {tally.accepted} shares accepted, {now} stored")
        time.sleep(0.2)
    return (cpu_seconds(pid) - cpu) / tally.accepted * 1e6, tally.accepted / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=int, default=20_000, help="shares a round (default 20000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {OTHER_CORE})
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as running:
        folder = Path(name)
        address = ClickHouseAddress(port=free_port(), password="bench")
        pool_port, proxy_port, metrics_port = free_port(), free_port(), free_port()
        running.enter_context(
            service(
                serve_clickhouse,
                EmbeddedOptions(data=folder / "clickhouse", port=address.port, password=address.password),
                core=OTHER_CORE,
            )
        )
        pool = DemoPoolOptions(
            folder / "pool",
            port=pool_port,
            fixed_difficulty=EVERY_HASH,
            minimum_difficulty=EVERY_HASH,
            network_difficulty=NETWORK_DIFFICULTY,
            merkle_branches=12,
        )
        running.enter_context(service(serve_pool, pool, core=OTHER_CORE))
        wait_for_port(address.port)
        wait_for_port(pool_port)
        asyncio.run(migrate(address))
        proxy = ProxyOptions(
            name="bench",
            pools=(PoolOptions("normal", proxy_port, "127.0.0.1", pool_port, "bench.{worker}"),),
            spool=folder / "spool",
            clickhouse=address,
            host="127.0.0.1",
            metrics_port=metrics_port,
        )
        proxy_pid = running.enter_context(service(serve_proxy, proxy, core=MEASURED_CORE))
        wait_for_port(proxy_port)
        relay_port, relay_pid = running.enter_context(haproxy(folder, pool_port))
        ratios = []
        for number in range(1, arguments.rounds + 1):
            relay, relay_rate = measure(relay_port, relay_pid, arguments.shares, None)
            ours, our_rate = measure(proxy_port, proxy_pid, arguments.shares, address)
            ratios.append(ours / relay)
            print(
                f"round {number}: HAProxy {relay:6.1f} us/share ({relay_rate:,.0f} shares/s), "
                f"proxy {ours:6.1f} us/share ({our_rate:,.0f} shares/s), ratio {ours / relay:.2f}"
            )
        print(f"CPU per share, proxy / HAProxy: median {statistics.median(ratios):.2f} of {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
