"""Time from submit to reply through the proxy, its share on disk by then, against HAProxy as a mere relay.

    python -m services.bench.proxy_latency [--connections 1000] [--seconds 10] [--rounds 3]

A thousand miners send a share a second each, evenly spread. HAProxy's and the proxy's rounds alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys

import uvloop

from services.bench.crowd import disperse, gather
from services.bench.rig import rig


async def _latencies(port: int, connections: int, seconds: int) -> list[float]:
    """Seconds, sorted."""
    miners = await gather(port, connections)
    loop = asyncio.get_running_loop()
    began = loop.time() + 0.5
    for number, miner in enumerate(miners):
        for second in range(seconds):
            loop.call_at(began + second + number / connections, miner.submit)
    await asyncio.sleep(seconds + 2.0)
    if refused := [error for miner in miners for error in miner.refused]:
        sys.exit(f"not a valid run: {len(refused)} shares refused, the first with {refused[0]}")
    latencies = sorted(latency for miner in miners for latency in miner.latencies)
    if len(latencies) != connections * seconds:
        sys.exit(f"not a valid run: {len(latencies)} of {connections * seconds} shares answered")
    await disperse(miners)
    return latencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000, help="miners, each with a share a second")
    parser.add_argument("--seconds", type=int, default=10, help="of each round (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    arguments = parser.parse_args()
    added = []
    with rig() as ways:
        for number in range(1, arguments.rounds + 1):
            p99 = {}
            for way in (ways.relay, ways.proxy):
                found = uvloop.run(_latencies(way.port, arguments.connections, arguments.seconds))
                p99[way] = found[len(found) * 99 // 100] * 1000
                half = statistics.median(found) * 1000
                print(f"round {number}: {way.name:8} p50 {half:6.2f} ms, p99 {p99[way]:6.2f} ms, {len(found)} shares")
            added.append(p99[ways.proxy] - p99[ways.relay])
    print(f"p99 added by the proxy: median {statistics.median(added):.2f} ms of {len(added)} rounds")


if __name__ == "__main__":
    main()
