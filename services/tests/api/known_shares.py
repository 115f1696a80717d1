"""Shares made up for a moment, and what the API must say of them, worked out in plain Python from the contract."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

POOLS = ("normal", "high_diff", "tiny")
WORKERS = (
    "abelatent.worker01",
    "abelatent.worker02",
    "plain",
    "<script>alert(1)</script>",
    "Robert'); DROP TABLE shares;--",
    'quote"back\\slash',
    "per%cent & {brace}",
    "naïve.矿工",
)
MINUTE, HOUR, DAY = 60, 3600, 86400
WINDOWS = {"5m": 5 * MINUTE, "60m": HOUR, "24h": DAY}
DIFFICULTIES = (2.0**-20, 0.001, 0.5, 1.0, 1024.0, 65536.0, 1e6)


@dataclass(frozen=True, slots=True)
class KnownShare:
    """The facts of a share that the figures depend on."""

    ts_ms: int
    pool_label: str
    worker: str
    accepted: bool
    credited: float
    actual: float


def known_shares(now: int, *, seed: int = 3, spread: int = 2000) -> list[KnownShare]:
    """Shares on both sides of every edge that a figure has at `now`, and `spread` others over three days before it."""
    rng = random.Random(seed)
    midnight = int(datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0).timestamp())
    edges = {now, now - 10 * MINUTE, midnight, midnight - DAY, midnight - 2 * DAY}
    edges |= {now - seconds for seconds in WINDOWS.values()}
    edges |= {(now - seconds) // 600 * 600 for seconds in WINDOWS.values()}
    edges |= {(now - seconds) // 3600 * 3600 for seconds in WINDOWS.values()}
    moments = [edge * 1000 + offset for edge in sorted(edges) for offset in (-1000, -1, 0, 1, 999)]
    moments += [rng.randrange((now - 3 * DAY) * 1000, now * 1000) for _ in range(spread)]
    shares = [_share(rng, moment, rng.choice(WORKERS[:-2])) for moment in moments]
    # One worker silent since exactly ten minutes, one since a millisecond less; one refused all along, one long gone.
    shares += [
        _share(rng, (now - 600) * 1000, "ten minutes"),
        _share(rng, (now - 600) * 1000 + 1, "just under ten"),
        KnownShare((now - 5) * 1000, "normal", "refused", False, 8.0, 9.0),
        _share(rng, (now - 2 * DAY) * 1000, "long gone"),
        _share(rng, (now - 30) * 1000, WORKERS[-1]),
        _share(rng, (now - 7200) * 1000, WORKERS[-2]),
    ]
    return shares


def _share(rng: random.Random, ts_ms: int, worker: str) -> KnownShare:
    credited = rng.choice(DIFFICULTIES)
    accepted = rng.random() < 0.9 or worker not in WORKERS[:-2]
    return KnownShare(ts_ms, rng.choice(POOLS), worker, accepted, credited, credited / rng.uniform(0.0001, 1))


def expected_pool(shares: list[KnownShare], now: int, *, pool: str | None, basis: str) -> dict[str, Any]:
    """The figures of /api/pool/stats."""
    chosen = [share for share in shares if share.accepted and pool in (None, share.pool_label)]
    facts: dict[str, Any] = dict.fromkeys(
        ("all_time_reward", "current_balance", "today_reward", "estimated_reward"), "0.00000000"
    )
    facts |= {"hash_rate_unit": "Gh/s", "low_workers": 0, "dis_workers": 0}
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0)
    spans = {name: (now - seconds, now) for name, seconds in WINDOWS.items()}
    spans["yesterday"] = (int((day - timedelta(days=1)).timestamp()), int(day.timestamp()))
    for name, (start, end) in spans.items():
        facts |= _window(chosen, name, start, end, "shares_value", basis)
    last = _last_shares(chosen, now)
    facts["ok_workers"] = sum(now * 1000 - ts_ms < 600_000 for ts_ms in last.values())
    facts["off_workers"] = len(last) - facts["ok_workers"]
    return facts


def expected_workers(
    shares: list[KnownShare], now: int, *, worker: str | None, pool: str | None, basis: str
) -> dict[str, Any]:
    """The workers of /api/workers/stats, by name."""
    chosen = [s for s in shares if s.accepted and pool in (None, s.pool_label) and worker in (None, s.worker)]
    answer = {}
    for name, last_ms in _last_shares(chosen, now).items():
        own = [share for share in chosen if share.worker == name]
        facts: dict[str, Any] = {
            "state": "ok" if now * 1000 - last_ms < 600_000 else "offline",
            "last_share": last_ms // 1000,
            "hash_rate_unit": "Gh/s",
            "hash_rate_scoring": 0,
        }
        for window, seconds in WINDOWS.items():
            facts |= _window(own, window, now - seconds, now, "share_value", basis)
        answer[name] = facts
    return answer


def expected_period(shares: list[KnownShare], start: int, end: int, *, basis: str) -> dict[str, Any]:
    """The workers of /api/workers/timerange, by name."""
    inside = [s for s in shares if s.accepted and start * 1000 <= s.ts_ms < end * 1000]
    answer = {}
    for name in {share.worker for share in inside}:
        own = [share for share in inside if share.worker == name]
        last_ms = max(share.ts_ms for share in own)
        sums = {"actual": math.fsum(s.actual for s in own), "credited": math.fsum(s.credited for s in own)}
        answer[name] = {
            "hashrate": sums["credited"] * 2**32 / (end - start) / 1e9,
            "hash_rate_unit": "Gh/s",
            "shares": len(own),
            "share_value": sums[basis],
            "share_value_actual": sums["actual"],
            "share_value_credited": sums["credited"],
            "state": "ok" if end * 1000 - last_ms < 600_000 else "offline",
            "last_share": last_ms // 1000,
        }
    return answer


def _window(shares: list[KnownShare], name: str, start: int, end: int, value: str, basis: str) -> dict[str, Any]:
    inside = [share for share in shares if start * 1000 <= share.ts_ms < end * 1000]
    sums = {"actual": math.fsum(s.actual for s in inside), "credited": math.fsum(s.credited for s in inside)}
    return {
        f"hash_rate_{name}": sums["credited"] * 2**32 / (end - start) / 1e9,
        f"shares_{name}": len(inside),
        f"{value}_{name}": sums[basis],
        f"share_value_actual_{name}": sums["actual"],
        f"share_value_credited_{name}": sums["credited"],
    }


def _last_shares(shares: list[KnownShare], now: int) -> dict[str, int]:
    last: dict[str, int] = {}
    for share in shares:
        if (now - DAY) * 1000 <= share.ts_ms < now * 1000:
            last[share.worker] = max(last.get(share.worker, 0), share.ts_ms)
    return last
