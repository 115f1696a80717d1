"""One worker's past: its connections, its silences, and its part of each pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.proxies import ALIVE_SECONDS, PROXY_DIED, SEEN, SESSION_COLUMNS, SessionRow, session_row
from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from services.warehouse.analysis import Analysis
    from services.warehouse.share_query import ShareQuery

MOST_SESSIONS_OF_ONE: Final = 200
_SESSIONS: Final = f"""\
{SESSION_COLUMNS}
FROM (SELECT * FROM sessions FINAL WHERE has(workers, {{worker:String}})) AS s
{SEEN}
WHERE s.connected < toDateTime64({{end:Int64}}, 3, 'UTC') AND (ended_ms < 0 OR ended_ms >= {{start:Int64}} * 1000)
ORDER BY s.connected DESC, s.proxy, s.connection LIMIT {{most:UInt32}}"""  # noqa: S608 - of constants alone
_SILENCES: Final = """\
SELECT toUnixTimestamp64Milli(before), toUnixTimestamp64Milli(ts) FROM
(
    SELECT s.ts AS ts, lagInFrame(s.ts) OVER (ORDER BY s.ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
    FROM shares AS s WHERE {condition}
)
WHERE before > toDateTime64(0, 3, 'UTC') AND ts - before >= {{least:Int64}}
ORDER BY ts DESC LIMIT {{most:UInt32}}"""
_PARTS: Final = """\
SELECT pool_label, sumIf(credited, worker = {{of:String}}) AS own, sum(credited)
FROM (
{rows}
)
GROUP BY pool_label HAVING own > 0 ORDER BY pool_label"""
_NAMES: Final = """\
SELECT worker, sum(accepted), sum(arraySum(mapValues(refused))), sum(credited) AS work, max(best),
    toUnixTimestamp64Milli(max(last)), sum(work) OVER ()
FROM (
{rows}
)
GROUP BY worker"""
_NAMED: Final = """\
SELECT * FROM (
{names}
)
WHERE positionCaseInsensitiveUTF8(worker, {{part:String}}) > 0 OR {{part:String}} = ''
ORDER BY work DESC, worker LIMIT {{most:UInt32}}"""


@dataclass(frozen=True, slots=True)
class Silence:
    """No accepted share between two moments, unix seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PoolPart:
    """How much of a pool's work is one worker's: sums of credited difficulty of accepted shares."""

    pool_label: str
    own: float
    whole: float


@dataclass(frozen=True, slots=True)
class NamedWorker:
    """A worker with any share in a period. `last` in unix seconds; 0 if none was accepted."""

    worker: str
    accepted: int
    refused: int
    hash_rate: float
    """H/s over the whole period."""
    part: float
    """Of everybody's work in the period, from 0 to 1."""
    best: float
    """Highest actual difficulty of an accepted share; 0 if none was."""
    last: float


async def worker_sessions(
    analysis: Analysis, worker: str, start: int, end: int, now: int, *, most: int = MOST_SESSIONS_OF_ONE
) -> tuple[SessionRow, ...]:
    """Connections that authorized the worker and lasted at some time in [start, end), unix seconds; the latest first.

    Known for 30 days. Raises StoreUnavailable; so do the others here.
    """
    bound = {
        "worker": worker,
        "start": start,
        "end": end,
        "now": now,
        "alive": ALIVE_SECONDS,
        "died": PROXY_DIED,
        "most": most,
    }
    return tuple(session_row(row) for row in await analysis.rows(_SESSIONS, bound))


async def silences(
    analysis: Analysis, query: ShareQuery, *, least_seconds: int = 600, most: int = 100
) -> tuple[Silence, ...]:
    """Times without a share of `query` that lasted at least so long, between two shares in it; the latest first."""
    condition, bound = query.condition()
    rows = await analysis.rows(_SILENCES.format(condition=condition), {"least": least_seconds, "most": most, **bound})
    return tuple(Silence(before / 1000, after / 1000) for before, after in rows)


async def pool_parts(analysis: Analysis, query: ShareQuery, worker: str) -> tuple[PoolPart, ...]:
    """The worker's part of each pool that it worked for, over the period of `query`, which names no worker."""
    rows, bound = query.rows(86_400)
    return tuple(PoolPart(*row) for row in await analysis.rows(_PARTS.format(rows=rows), {"of": worker, **bound}))


async def named_workers(
    analysis: Analysis, query: ShareQuery, *, part: str = "", most: int = 1000
) -> tuple[NamedWorker, ...]:
    """Who has a share in `query`, the greatest first; of names that contain `part`, whatever its case."""
    rows, bound = query.rows(86_400)
    sql = _NAMED.format(names=_NAMES.format(rows=rows))
    return tuple(
        NamedWorker(
            worker,
            accepted,
            refused,
            credited * HASHES_PER_DIFFICULTY / query.seconds,
            credited / whole if whole else 0.0,
            best,
            max(0, last_ms) / 1000,
        )
        for worker, accepted, refused, credited, best, last_ms, whole in await analysis.rows(
            sql, {"most": most, "part": part, **bound}
        )
    )
