"""How long a pool's notify takes to the last of many miners, and many miners to their first job, against HAProxy.

    python -m services.bench.proxy_fan_out [--miners 1000] [--joining 2000] [--rounds 9] [--mode shared]

Time zero of a notify is the moment before the pool writes its first byte, for HAProxy as for the proxy: what the pool
needs to write to each of its connections is in both, and the clock is one for all processes. Beside it the same through
a relay in Python that copies bytes and does nothing else, and the proxy's resident memory per 1,000 idle miners, each
with eight jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass

import uvloop

from services.bench.announcing_pool import announce
from services.bench.crowd import disperse, gather
from services.bench.processes import precise_cpu_seconds, resident_mib
from services.bench.rig import Way, rig

_JOBS = 8
_REST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FanOut:
    """Of one notify: seconds until the last miner had it, until the pool had written it, and of CPU for each miner."""

    last: float
    written: float
    cpu: float


async def _fan_out(trigger_port: int, way: Way, miners: int, rounds: int) -> list[FanOut]:
    came: list[float] = []
    everybody = asyncio.Event()

    def received() -> None:
        came.append(time.monotonic())
        if len(came) >= miners:
            everybody.set()

    crowd = await gather(way.port, miners)
    for miner in crowd:
        miner.on_line = received
    found = []
    await announce(trigger_port)  # the first is for who came late, and for what is warmed up by it
    await asyncio.sleep(4 * _REST_SECONDS)
    for _ in range(rounds):
        came.clear()
        everybody.clear()
        before = precise_cpu_seconds(*way.pids)
        announced = await announce(trigger_port)
        await everybody.wait()
        cpu = (precise_cpu_seconds(*way.pids) - before) / miners
        found.append(FanOut(came[-1] - announced.began, announced.written - announced.began, cpu))
        await asyncio.sleep(_REST_SECONDS)
    await disperse(crowd)
    return found


async def _joining(port: int, miners: int) -> float:
    """Seconds until so many miners have a job."""
    began = time.perf_counter()
    crowd = await gather(port, miners)
    took = time.perf_counter() - began
    await disperse(crowd)
    return took


async def _memory(trigger_port: int, way: Way, miners: int) -> float:
    """MiB for 1,000 miners who have had eight jobs."""
    before = resident_mib(way.pids[0])
    crowd = await gather(way.port, miners)
    for _ in range(_JOBS - 1):
        await asyncio.sleep(4 * _REST_SECONDS)
        await announce(trigger_port)
    await asyncio.sleep(4 * _REST_SECONDS)
    took = resident_mib(way.pids[0]) - before
    await disperse(crowd)
    return took * 1000 / miners


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=1000, help="who get each notify (default 1000)")
    parser.add_argument("--joining", type=int, default=2000, help="who connect at once (default 2000)")
    parser.add_argument("--rounds", type=int, default=9, help="notifies measured for each (default 9)")
    parser.add_argument("--mode", choices=["dedicated", "shared"], default="dedicated", help="the proxy's mode")
    arguments = parser.parse_args()
    with rig(mode=arguments.mode, bare=True) as ways:
        assert ways.bare is not None
        memory = uvloop.run(_memory(ways.trigger_port, ways.proxy, arguments.joining))
        fan_out, joined = {}, {}
        for way in (ways.relay, ways.bare, ways.proxy):
            found = uvloop.run(_fan_out(ways.trigger_port, way, arguments.miners, arguments.rounds))
            times = sorted(one.last * 1000 for one in found)
            fan_out[way.name] = statistics.median(times)
            joined[way.name] = statistics.median(uvloop.run(_joining(way.port, arguments.joining)) for _ in range(3))
            print(
                f"{way.name:8} notify to {arguments.miners} miners {fan_out[way.name]:6.1f} ms"
                f" ({times[0]:.1f} to {times[-1]:.1f}; the pool had written after"
                f" {statistics.median(one.written for one in found) * 1000:.1f} ms),"
                f" {statistics.median(one.cpu for one in found) * 1e6:5.1f} us of CPU for each;"
                f" {arguments.joining} connections ready in {joined[way.name]:5.2f} s",
                flush=True,
            )
        for what, figures in (("fan-out", fan_out), ("connections ready", joined)):
            for way in (ways.bare, ways.proxy):
                print(f"{what}, {way.name} / HAProxy: {figures[way.name] / figures[ways.relay.name]:.2f}")
        print(f"memory: {memory:.1f} MiB for 1,000 idle miners")


if __name__ == "__main__":
    main()
