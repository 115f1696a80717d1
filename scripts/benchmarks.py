"""Runs the benchmarks of services/bench one after the other, and ends with 1 when any of them failed.

Called by scripts/bench, inside the project's environment.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What each measures, and sizes that take a small machine a minute or so.
BENCHMARKS = {
    "api_rate": ("requests/s of workers/stats, against a constant body from the same app", ["--seconds", "4"]),
    "audit_rate": ("shares/s that an audit verifies, against bare hashing", ["--millions", "1"]),
    "conformance": ("requests of any form to the API, answered as described", ["--examples=200", "--seconds=120"]),
    "dashboard_pages": ("first paint, script bytes, CPU and queries of the live page", ["--seconds", "10"]),
    "embedded_insert": ("rows/s through the embedded server, against the engine in process", ["--batches", "15"]),
    "mining": ("headers/s of the merge miner, against a loop on hashlib", ["--rounds", "5"]),
    "accepted_shares": ("shares of the merge miner that pool and proxy refuse: none but stales", ["--shares", "1000"]),
    "kills": ("every process of the store killed at random under load: is anything lost or doubled?", ["--kills", "8"]),
    "page_queries": ("the readers' queries over a day of shares, against raw shares and SELECT 1", ["--millions", "1"]),
    "analysis_queries": ("the dashboard's analyses of a week of shares, against one raw column", ["--millions", "1"]),
    "share_bytes": ("bytes a share takes on disk, by column, against their entropy", ["--shares", "300000"]),
    "share_history": ("30 days of the API's questions, against raw shares", ["--millions", "2"]),
    "spooled_insert": ("shares/s through spool and shipper, against direct inserts", ["--shares", "200000"]),
    "raw_shares": ("memory of /api/shares/raw over millions of shares, against a tenth of them", ["--millions", "2"]),
    "proxy_cpu": ("CPU per share through the proxy, against HAProxy as a mere relay", ["--shares", "10000"]),
    "proxy_latency": ("time from submit to reply, against HAProxy as a mere relay", ["--seconds=5", "--rounds=3"]),
    "proxy_workers": ("several proxy processes on one port, against one", ["--shares", "10000"]),
    "proxy_fan_out": ("time of a notify to the last of many miners, against HAProxy", ["--rounds", "3"]),
}


def main(arguments: list[str]) -> int:
    """Run those named, or all of them; returns the exit code."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    named, sizes = arguments[:split], arguments[split + 1 :]
    if named == ["--list"]:
        for name, (what, _) in BENCHMARKS.items():
            print(f"{name:<18}{what}")
        return 0
    if unknown := [name for name in named if name not in BENCHMARKS]:
        print(f"bench: nothing is called {', '.join(unknown)}; there are: {' '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    if sizes and len(named) != 1:
        print("bench: what follows -- is for one benchmark; name it", file=sys.stderr)
        return 2
    results = {name: _run(name, sizes or BENCHMARKS[name][1]) for name in named or BENCHMARKS}
    if failed := [name for name, passed in results.items() if not passed]:
        print(f"\nbench: failed: {' '.join(failed)}", file=sys.stderr)
        return 1
    return 0


def _run(name: str, sizes: list[str]) -> bool:
    print(f"\n=== {name} {' '.join(sizes)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", f"services.bench.{name}", *sizes], cwd=ROOT, check=False)
    print(f"({time.monotonic() - started:.0f} s)", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
