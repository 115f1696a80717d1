"""CPU time per share through the proxy, against HAProxy as a mere relay of the same traffic, alternating in one run.

    python -m services.bench.proxy_cpu [--shares 20000] [--rounds 3] [--mode shared [--one-in 256]]

Every share is valid, is checked by a validating pool with 12 merkle branches, and ends in the embedded ClickHouse.
The relay and the proxy are pinned to the first core, everything else to the second. CPU per share is user and system
time of all threads of the process under measurement, spool writer and shipper included, through to the last share
stored. A run counts only if afterwards ClickHouse holds exactly the shares that were accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from typing import TYPE_CHECKING

import clickhouse_connect

from services.bench.processes import cpu_seconds
from services.bench.rig import rig
from services.bench.share_load import load

if TYPE_CHECKING:
    from services.bench.rig import Way
    from services.warehouse.address import ClickHouseAddress

CONNECTIONS, WINDOW = 20, 16


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


def measure(way: Way, shares: int, address: ClickHouseAddress | None) -> tuple[float, float]:
    """Microseconds of CPU per share, and shares a second of wall-clock time."""
    before = stored(address) if address else 0
    cpu, started = cpu_seconds(*way.pids), time.monotonic()
    tally = asyncio.run(load(way.port, shares=shares, connections=CONNECTIONS, window=WINDOW))
    seconds = time.monotonic() - started
    if tally.refused:
        sys.exit(f"not a valid run: {len(tally.refused)} shares refused, the first with {tally.refused[0]}")
    deadline = time.monotonic() + 30
    while address and (now := stored(address) - before) != tally.accepted:
        if time.monotonic() > deadline:
            sys.exit(f"not a valid run: {tally.accepted} shares accepted, {now} stored")
        time.sleep(0.2)
    return (cpu_seconds(*way.pids) - cpu) / tally.accepted * 1e6, tally.accepted / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=int, default=20_000, help="shares a round (default 20000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument("--mode", choices=["dedicated", "shared"], default="dedicated", help="the proxy's mode")
    parser.add_argument("--one-in", type=int, help="in shared mode, so many shares for one that the pool gets (256)")
    arguments = parser.parse_args()
    if arguments.one_in and arguments.mode != "shared":
        parser.error("--one-in says something about --mode shared alone")
    with rig(mode=arguments.mode, one_in=arguments.one_in or (256 if arguments.mode == "shared" else 1)) as ways:
        ratios = []
        for number in range(1, arguments.rounds + 1):
            relay, relay_rate = measure(ways.relay, arguments.shares, None)
            ours, our_rate = measure(ways.proxy, arguments.shares, ways.clickhouse)
            ratios.append(ours / relay)
            print(
                f"round {number}: HAProxy {relay:6.1f} us/share ({relay_rate:,.0f} shares/s), "
                f"proxy {ours:6.1f} us/share ({our_rate:,.0f} shares/s), ratio {ours / relay:.2f}"
            )
        print(f"CPU per share, proxy / HAProxy: median {statistics.median(ratios):.2f} of {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
