"""Kills proxy, shipper, embedded ClickHouse and S3 server at random under load: is anything lost, or stored twice?

What miners read as accepted must be stored, what is stored must be in the pool's log, no hash twice, and the roll-ups
must equal the raw table. Ends with an error where not. The same seed kills the same processes after the same work.
Run: python -m services.bench.kills [--kills N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from services.tests.end_to_end.kill_rig import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261121)
    arguments = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        counts = asyncio.run(run(Path(folder), seed=arguments.seed, kills=arguments.kills, tell=tell))
    for name, count in counts.items():
        print(f"{name:<28} {count:>10,}")
    print("nothing lost, nothing doubled, roll-ups equal to the raw table")


if __name__ == "__main__":
    main()
