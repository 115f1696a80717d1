"""A proof rather than a rate: of so many shares, the pool refuses none but true stales, whatever happens meanwhile.

The miner mines on the demo pool directly and through the proxy, each with rolled versions and without. On the way the
pool sends a clean job, lowers and raises the difficulty, changes the extranonce, drops its connections, and restarts.
Ends with an error where a share is refused otherwise, or the pool's own log does not have each accepted one, once.
Run: python -m services.bench.accepted_shares [--shares N]
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from pathlib import Path

import structlog

from services.tests.miner.mining_rig import MiningRig


async def _passes(shares: int, *, through_proxy: bool, version_mask: int) -> bool:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        async with MiningRig(Path(folder), through_proxy=through_proxy, version_mask=version_mask) as rig:
            await rig.everything(shares)
        outcome = rig.outcome()
    way = "through the proxy" if through_proxy else "directly"
    versions = "versions rolled" if version_mask else "one version"
    print(
        f"{way}, {versions}: accepted {outcome.accepted}, refused as stale {outcome.stale}, without a verdict of the "
        f"pool that went away {outcome.without_verdict}, lost with a connection {outcome.lost}, refused otherwise "
        f"{len(outcome.faults)} ({time.perf_counter() - began:.0f} s)",
        flush=True,
    )
    for fault in outcome.faults[:10]:
        print(f"  {fault}")
    return not outcome.faults and outcome.agrees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=int, default=10_000)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    passed = [
        asyncio.run(_passes(arguments.shares, through_proxy=through_proxy, version_mask=version_mask))
        for through_proxy in (False, True)
        for version_mask in (0x1FFFE000, 0)
    ]
    raise SystemExit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
