"""What several proxy processes on one port cost and gain against one: CPU per share, shares a second, connections each.

    python -m services.bench.proxy_workers [--workers 2] [--shares 20000] [--rounds 3] [--connections 1000]

Rounds of one process and of the crew alternate. For the CPU per share all of them are pinned to one core, pool and
load to the other. For shares a second each process of the crew has a core of its own, as far as there are cores: on a
machine with two, one of these is the pool's and the load's too, which the figure then suffers from.
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import TYPE_CHECKING

import uvloop

from services.bench.crowd import disperse, gather
from services.bench.processes import pin
from services.bench.proxy_cpu import measure
from services.bench.rig import rig
from services.bench.scrape import scraped

if TYPE_CHECKING:
    from services.bench.rig import Way

_CONNECTIONS = "sharehouse_miner_connections{"


async def _split(crew: Way, miners: int) -> list[int]:
    """How many of so many miners each process has."""
    crowd = await gather(crew.port, miners)
    found = [scraped(port, _CONNECTIONS) for port in crew.metrics_ports]
    await disperse(crowd)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes of the crew (default 2)")
    parser.add_argument("--shares", type=int, default=20_000, help="shares a round (default 20000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument("--connections", type=int, default=1000, help="miners that the crew shares out (default 1000)")
    arguments = parser.parse_args()
    if arguments.workers < 2:
        parser.error("--workers must be at least 2")
    with rig(workers=arguments.workers) as ways:
        assert ways.crew is not None
        ratios = []
        for number in range(1, arguments.rounds + 1):
            alone, _ = measure(ways.proxy, arguments.shares, ways.clickhouse)
            crew, _ = measure(ways.crew, arguments.shares, ways.clickhouse)
            ratios.append(crew / alone)
            print(f"round {number}: one process {alone:6.1f} us/share, crew {crew:6.1f}, ratio {crew / alone:.2f}")
        print(f"CPU per share, crew / one process: median {statistics.median(ratios):.2f} of {arguments.rounds} rounds")
        for place, pid in enumerate(ways.crew.pids):
            pin(pid, place % (os.cpu_count() or 1))
        rates = [
            [measure(way, arguments.shares, ways.clickhouse)[1] for way in (ways.proxy, ways.crew)]
            for _ in range(arguments.rounds)
        ]
        factor = statistics.median(crew / alone for alone, crew in rates)
        print(f"shares a second, crew / one process: median {factor:.2f}, on {os.cpu_count()} cores in all")
        split = uvloop.run(_split(ways.crew, arguments.connections))
        print(f"connections: {split}, the largest part {max(split) / sum(split):.0%}")


if __name__ == "__main__":
    main()
