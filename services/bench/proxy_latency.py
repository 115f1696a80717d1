"""Time from submit to reply through the proxy, its share on disk by then, against HAProxy as a mere relay.

    python -m services.bench.proxy_latency [--connections 1000] [--seconds 10] [--rounds 5]

A thousand miners send a share a second each, evenly spread; what they send in their first three seconds is told by
itself, for they have only just connected. Rounds are pairs of HAProxy and the proxy, which take turns at being first;
what the proxy adds is told for each pair. Beside it stands what is not of its making: how far HAProxy's own figures lie
apart, what a small durable write took just before each round, how late the load itself was, what processor time the
machine's host kept back; and how many of the proxy's commits the disk took longer for than all that the proxy may add.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

from services.bench import disk
from services.bench.crowd import disperse, gather
from services.bench.rig import rig
from services.bench.scrape import scraped
from services.bench.stolen import Stolen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.bench.crowd import CrowdMiner
    from services.bench.rig import Way

TARGET_MS: Final = 10.0
SETTLING_SECONDS: Final = 3
_COMMITS: Final = "sharehouse_spool_commit_seconds_count"
_SHORT: Final = 'sharehouse_spool_commit_seconds_bucket{le="0.01"}'


@dataclass(frozen=True, slots=True)
class _Round:
    """Milliseconds: median and 99th percentile of the latencies, the latter of those before all has settled, and of the
    load's own lateness."""

    p50: float
    p99: float
    settling_p99: float
    late_p99: float


async def _round(port: int, connections: int, seconds: int) -> _Round:
    miners = await gather(port, connections)
    loop = asyncio.get_running_loop()
    late: list[float] = []

    def submit(miner: CrowdMiner, due: float) -> None:
        late.append(time.monotonic() - due)
        miner.submit()

    began = loop.time() + 0.5
    shares = SETTLING_SECONDS + seconds
    for number, miner in enumerate(miners):
        for second in range(shares):
            due = began + second + number / connections
            loop.call_at(due, submit, miner, due)
    await asyncio.sleep(shares + 2.0)
    if refused := [error for miner in miners for error in miner.refused]:
        sys.exit(f"not a valid run: {len(refused)} shares refused, the first with {refused[0]}")
    answered = sum(len(miner.latencies) for miner in miners)
    if answered != connections * shares:
        sys.exit(f"not a valid run: {answered} of {connections * shares} shares answered")
    await disperse(miners)
    settling = [latency for miner in miners for latency in miner.latencies[:SETTLING_SECONDS]]
    latencies = [latency for miner in miners for latency in miner.latencies[SETTLING_SECONDS:]]
    return _Round(statistics.median(latencies) * 1000, _p99(latencies), _p99(settling), _p99(late))


def _p99(seconds: Sequence[float]) -> float:
    """Of so many times, in milliseconds."""
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


def _commits(way: Way) -> tuple[int, int]:
    """So far: all of the way's, and those within TARGET_MS."""
    (port,) = way.metrics_ports or (0,)
    return (scraped(port, _COMMITS), scraped(port, _SHORT)) if port else (0, 0)


def _spread(milliseconds: Sequence[float]) -> str:
    least, median, most = min(milliseconds), statistics.median(milliseconds), max(milliseconds)
    return f"median {median:.2f} ms, from {least:.2f} to {most:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000, help="miners, each with a share a second")
    parser.add_argument("--seconds", type=int, default=10, help="of each round (default 10)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default 5)")
    arguments = parser.parse_args()
    found: dict[str, list[_Round]] = {}
    with rig() as ways:
        # A pause of the load's own would be counted as theirs.
        gc.collect()
        gc.disable()
        pair = (ways.relay, ways.proxy)
        for number in range(1, arguments.rounds + 1):
            for way in pair if number % 2 else reversed(pair):
                commit, before, stolen = _p99(disk.commits()), _commits(way), Stolen()
                one = uvloop.run(_round(way.port, arguments.connections, arguments.seconds))
                found.setdefault(way.name, []).append(one)
                commits, short = (now - then for now, then in zip(_commits(way), before, strict=True))
                print(
                    f"round {number}: {way.name:8} p50 {one.p50:6.2f} ms, p99 {one.p99:6.2f} ms "
                    f"(settling {one.settling_p99:6.2f} ms); load late p99 {one.late_p99:6.2f} ms; "
                    f"durable write before it p99 {commit:6.2f} ms; stolen {stolen.percent():4.1f} %"
                    + (f"; {commits - short} of {commits} commits beyond {TARGET_MS:g} ms" if commits else ""),
                    flush=True,
                )
    relay, proxy = ([one.p99 for one in found[way.name]] for way in pair)
    added = [ours - theirs for ours, theirs in zip(proxy, relay, strict=True)]
    print(f"p99 of HAProxy: {_spread(relay)}")
    print(f"p99 of the proxy: {_spread(proxy)}")
    met = sum(one <= TARGET_MS for one in added)
    print(f"p99 added by the proxy: {_spread(added)}; {TARGET_MS:g} ms at most in {met} of {len(added)} rounds")


if __name__ == "__main__":
    main()
