"""What happened in a short step of time, read from ClickHouse: shares, who came and went, which pool gave way to which.

A step begins on a multiple of STEP_SECONDS and depends on nothing but what the database holds: every process that reads
it gives the same, today and after a restart.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STEP_SECONDS: Final = 2
RATE_SECONDS: Final = 300
"""The hash rates of a step are those of the five minutes that end with it."""
MOST_NAMED: Final = 100
"""So many connects, disconnects and failovers of a step are told one by one; the rest is only counted."""

_SHARES, _CONNECT, _DISCONNECT, _FAILOVER = range(4)
_ORDER: Final = itemgetter(0, 2, 1, 3)


@dataclass(frozen=True, slots=True)
class FeedPool:
    """One pool's shares in a step."""

    accepted: int = 0
    rejected: int = 0
    hash_rate_5m: float = 0.0
    """H/s."""


@dataclass(frozen=True, slots=True)
class FeedSession:
    """A miner's connection that began or ended. `time` in unix seconds; `reason` of an end, else ''."""

    time: float
    proxy: str
    pool_label: str
    miner: str
    """"ip:port"."""
    workers: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Failover:
    """A proxy's process went from one address of a pool to another, or back. `time`, unix seconds: its heartbeat's."""

    time: float
    proxy: str
    pool_label: str
    left: str
    """"host:port"; so is the next."""
    taken: str


@dataclass(frozen=True, slots=True)
class FeedStep:
    """What happened in [start, end), unix seconds. `end` is its id."""

    start: int
    end: int
    pools: Mapping[str, FeedPool]
    """By label; those with a share in the five minutes that end with the step."""
    connected: int
    disconnected: int
    connects: tuple[FeedSession, ...]
    disconnects: tuple[FeedSession, ...]
    failovers: tuple[Failover, ...]

    @property
    def accepted(self) -> int:
        return sum(pool.accepted for pool in self.pools.values())

    @property
    def rejected(self) -> int:
        return sum(pool.rejected for pool in self.pools.values())

    @property
    def accepted_per_second(self) -> float:
        return self.accepted / (self.end - self.start)

    @property
    def hash_rate_5m(self) -> float:
        """H/s, of all pools."""
        return sum(pool.hash_rate_5m for pool in self.pools.values())


_IN_STEPS: Final = "({0} >= toDateTime64({{start:Int64}}, 3, 'UTC') AND {0} < toDateTime64({{end:Int64}}, 3, 'UTC'))"
_STEP_OF: Final = f"intDiv(at_ms, {STEP_SECONDS}000)"
FEED_SQL: Final = f"""\
SELECT {_SHARES} AS kind, toInt64(intDiv(toUnixTimestamp(s.ts), {STEP_SECONDS}) * {STEP_SECONDS}) AS step,
    toInt64(0) AS at_ms, toString(s.pool_label) AS label, '' AS proxy, '' AS a, '' AS b, [''] AS names,
    countIf(s.verdict = 'accepted') AS n, countIf(s.verdict = 'rejected') AS m,
    sumIf(s.pool_difficulty, s.verdict = 'accepted') AS credited
FROM shares AS s
WHERE s.ts >= toDateTime64({{start:Int64}} - {RATE_SECONDS}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
GROUP BY step, label
UNION ALL
SELECT * FROM (
    SELECT kind, toInt64({_STEP_OF} * {STEP_SECONDS}), at_ms, label, proxy, miner,
        reason, names, count() OVER (PARTITION BY kind, {_STEP_OF}), toUInt64(0), toFloat64(0)
    FROM (
        SELECT s.proxy AS proxy, s.instance, s.connection, any(s.pool_label) AS label, any(s.miner) AS miner,
            argMax(s.workers, s.updated) AS names, argMax(s.disconnect_reason, s.updated) AS ended_for,
            min(toUnixTimestamp64Milli(s.connected)) AS connected_ms,
            ifNull(max(toUnixTimestamp64Milli(s.disconnected)), 0) AS disconnected_ms,
            arrayJoin([({_CONNECT}, connected_ms, ''), ({_DISCONNECT}, disconnected_ms, ended_for)]) AS change,
            change.1 AS kind, change.2 AS at_ms, change.3 AS reason
        FROM sessions AS s
        WHERE {_IN_STEPS.format("s.connected")} OR {_IN_STEPS.format("s.disconnected")}
        GROUP BY s.proxy, s.instance, s.connection
    )
    WHERE at_ms >= {{start:Int64}} * 1000 AND at_ms < {{end:Int64}} * 1000
    ORDER BY at_ms, proxy, miner
    LIMIT {MOST_NAMED} BY kind, {_STEP_OF}
)
UNION ALL
SELECT * FROM (
    SELECT {_FAILOVER}, toInt64({_STEP_OF} * {STEP_SECONDS}), at_ms, label, proxy, left_pool, pool,
        [''], toUInt64(1), toUInt64(0), toFloat64(0)
    FROM (
        SELECT toUnixTimestamp64Milli(p.ts) AS at_ms, toString(p.proxy) AS proxy, toString(p.pool_label) AS label,
            toString(p.pool) AS pool,
            lagInFrame(toString(p.pool)) OVER (
                PARTITION BY p.proxy, p.instance, p.pool_label ORDER BY p.ts
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS left_pool
        FROM pool_states AS p
        WHERE p.ts >= toDateTime64({{start:Int64}} - {RATE_SECONDS}, 3, 'UTC')
            AND p.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
    )
    WHERE at_ms >= {{start:Int64}} * 1000 AND left_pool != '' AND left_pool != pool
    ORDER BY at_ms, proxy, label
    LIMIT {MOST_NAMED} BY {_STEP_OF}
)"""  # noqa: S608 - numbers and names of this module alone


def feed_steps(start: int, end: int, rows: Iterable[Sequence[Any]]) -> list[FeedStep]:
    """Every step of [start, end), both multiples of STEP_SECONDS, from rows of FEED_SQL; also those that are empty."""
    shares: dict[str, dict[int, tuple[int, int, float]]] = defaultdict(dict)
    others: dict[tuple[int, int], list[Sequence[Any]]] = defaultdict(list)
    for kind, step, at_ms, label, proxy, a, b, names, n, m, credited in rows:
        if kind == _SHARES:
            shares[label][step] = (n, m, credited)
        else:
            others[kind, step].append((at_ms, label, proxy, a, b, names, n))
    starts = range(start, end, STEP_SECONDS)
    pools = {label: _pool_steps(own, starts) for label, own in sorted(shares.items())}
    return [
        FeedStep(
            start=at,
            end=at + STEP_SECONDS,
            pools={label: steps[at] for label, steps in pools.items() if at in steps},
            connected=_total(others[_CONNECT, at]),
            disconnected=_total(others[_DISCONNECT, at]),
            connects=_sessions(others[_CONNECT, at]),
            disconnects=_sessions(others[_DISCONNECT, at]),
            failovers=tuple(
                Failover(at_ms / 1000, proxy, label, left, taken)
                for at_ms, label, proxy, left, taken, *_ in sorted(others[_FAILOVER, at], key=_ORDER)
            ),
        )
        for at in starts
    ]


def _pool_steps(own: Mapping[int, tuple[int, int, float]], starts: range) -> dict[int, FeedPool]:
    """One pool's steps by start; without those that have no share in their five minutes."""
    found = {}
    for at in starts:
        window = range(at + STEP_SECONDS - RATE_SECONDS, at + STEP_SECONDS, STEP_SECONDS)
        within = [own[step] for step in window if step in own]
        if within:
            accepted, rejected, _ = own.get(at, (0, 0, 0.0))
            credited = sum(one for *_, one in within)
            found[at] = FeedPool(accepted, rejected, credited * HASHES_PER_DIFFICULTY / RATE_SECONDS)
    return found


def _sessions(rows: list[Sequence[Any]]) -> tuple[FeedSession, ...]:
    return tuple(
        FeedSession(at_ms / 1000, proxy, label, miner, tuple(names), reason)
        for at_ms, label, proxy, miner, reason, names, _ in sorted(rows, key=_ORDER)
    )


def _total(rows: list[Sequence[Any]]) -> int:
    return int(rows[0][-1]) if rows else 0
