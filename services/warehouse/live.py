"""What the live page shows, in one statement: miners' shares, their connections, and the proxies.

The three lists have columns of their own; each row comes as one JSON array, so that they fit into one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.warehouse.proxies import (
    PROXIES_SQL,
    SESSIONS_SQL,
    ProxyRow,
    SessionRow,
    proxy_row,
    session_row,
)
from services.warehouse.results import HASHES_PER_DIFFICULTY, OK_SECONDS, MinerRow
from services.warehouse.sums import worker_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.warehouse.sums import Statement

SETTINGS: Final = {
    "output_format_json_named_tuples_as_objects": 0,
    "output_format_json_quote_64bit_integers": 0,
}
_MINER, _SESSION, _PROXY = range(3)
_PART: Final = "SELECT {kind} AS kind, toJSONString(tuple(*)) AS row FROM (\n{rows}\n)"


@dataclass(frozen=True, slots=True)
class LiveRows:
    """As Queries.miners, .sessions and .proxies give them, of one moment."""

    miners: tuple[MinerRow, ...]
    sessions: tuple[SessionRow, ...]
    proxies: tuple[ProxyRow, ...]


def live_sql(now: int) -> Statement:
    """Rows: which list, and a JSON array. Binds what `sessions_bound` gives, too."""
    miners, moments = worker_table(now)
    lists = ((_MINER, miners), (_SESSION, SESSIONS_SQL), (_PROXY, PROXIES_SQL))
    return "\nUNION ALL\n".join(_PART.format(kind=kind, rows=rows) for kind, rows in lists), moments


def live_rows(rows: Iterable[Sequence[Any]], now: int, alive_seconds: int) -> LiveRows:
    """Rows of `live_sql`."""
    lists: tuple[list[Any], ...] = ([], [], [])
    for kind, row in rows:
        lists[kind].append(msgspec.json.decode(row))
    miners, sessions, proxies = lists
    return LiveRows(
        tuple(sorted((miner_row(row, now) for row in miners), key=attrgetter("worker", "pool_label"))),
        tuple(sorted(map(session_row, sessions), key=attrgetter("connected", "proxy", "connection"))),
        tuple(sorted((proxy_row(row, now, alive_seconds) for row in proxies), key=lambda row: (row.proxy, -row.seen))),
    )


def miner_row(row: Sequence[Any], now: int) -> MinerRow:
    """A row of `worker_table`."""
    worker, pool_label, accepted, refused, credited_5m, credited_60m, last_ms, best, difficulty = row
    return MinerRow(
        worker=worker,
        pool_label=pool_label,
        accepted=accepted,
        rejected_by_reason=dict(sorted(refused.items())),
        hash_rate_5m=credited_5m * HASHES_PER_DIFFICULTY / 300,
        hash_rate_60m=credited_60m * HASHES_PER_DIFFICULTY / 3_600,
        difficulty=difficulty,
        last_share=last_ms / 1000,
        best_share=best,
        ok=last_ms > (now - OK_SECONDS) * 1000,
    )
