"""How long a pool's notify takes to the last of many miners, and many miners to their first job, against HAProxy.

    python -m services.bench.proxy_fan_out [--miners 1000] [--joining 2000] [--rounds 5] [--mode shared]

Time zero of a notify is its arrival at a miner that sits at the pool directly and was connected first. Beside it the
proxy's resident memory per 1,000 idle miners.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import uvloop

from services.bench.crowd import disperse, gather
from services.bench.processes import resident_mib
from services.bench.rig import rig

_REFRESH_SECONDS = 4.0


async def _fan_out(pool_port: int, port: int, miners: int, rounds: int) -> list[float]:
    """Seconds from a job at the direct miner to the last of the others, for each round."""
    direct_at: list[float] = []
    others_at: list[float] = []
    everybody = asyncio.Event()

    def received() -> None:
        others_at.append(time.perf_counter())
        if len(others_at) >= miners:
            everybody.set()

    direct = await gather(pool_port, 1, lambda: direct_at.append(time.perf_counter()))
    crowd = await gather(port, miners, received)
    found = []
    for _ in range(rounds + 1):
        await asyncio.sleep(_REFRESH_SECONDS / 4)
        direct_at.clear()
        others_at.clear()
        everybody.clear()
        await everybody.wait()
        found.append(others_at[-1] - direct_at[0])
    await disperse([*direct, *crowd])
    return found[1:]  # the first may have begun before all were there


async def _joining(port: int, miners: int) -> float:
    """Seconds until so many miners have a job."""
    began = time.perf_counter()
    crowd = await gather(port, miners)
    took = time.perf_counter() - began
    await disperse(crowd)
    return took


async def _memory(pid: int, port: int, miners: int) -> float:
    """MiB for 1,000 miners who have had eight jobs."""
    before = resident_mib(pid)
    crowd = await gather(port, miners)
    await asyncio.sleep(8.5 * _REFRESH_SECONDS)
    took = resident_mib(pid) - before
    await disperse(crowd)
    return took * 1000 / miners


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=1000, help="who get each notify (default 1000)")
    parser.add_argument("--joining", type=int, default=2000, help="who connect at once (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="notifies measured for each (default 5)")
    parser.add_argument("--mode", choices=["dedicated", "shared"], default="dedicated", help="the proxy's mode")
    arguments = parser.parse_args()
    with rig(refresh_seconds=_REFRESH_SECONDS, mode=arguments.mode) as ways:
        memory = uvloop.run(_memory(ways.proxy.pids[0], ways.proxy.port, arguments.joining))
        fan_out, joined = {}, {}
        for way in (ways.relay, ways.proxy):
            times = uvloop.run(_fan_out(ways.pool_port, way.port, arguments.miners, arguments.rounds))
            fan_out[way] = statistics.median(times)
            joined[way] = statistics.median(uvloop.run(_joining(way.port, arguments.joining)) for _ in range(3))
            print(
                f"{way.name:8} notify to {arguments.miners} miners {fan_out[way] * 1000:6.0f} ms,"
                f" {arguments.joining} connections ready in {joined[way]:5.2f} s"
            )
        for what, found in (("fan-out", fan_out), ("connections ready", joined)):
            print(f"{what}, proxy / HAProxy: {found[ways.proxy] / found[ways.relay]:.2f}")
        print(f"memory: {memory:.1f} MiB for 1,000 idle miners")


if __name__ == "__main__":
    main()
