"""What the proxies told of themselves, read back: which live, and who is connected to them.

A proxy whose last heartbeat is older than ALIVE_SECONDS is dead, and its sessions have ended with it, whatever their
rows say. The clocks of proxies and readers have to agree to within a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALIVE_SECONDS: Final = 10
"""Five heartbeats."""
PROXY_DIED: Final = "proxy died"
MOST_SESSIONS: Final = 50_000


@dataclass(frozen=True, slots=True)
class ProxyPool:
    """How one proxy stands with one pool."""

    pool_label: str
    pool: str
    """The address in use, "host:port"."""
    state: str
    """ready, away or idle; see PoolState."""
    miners: int
    upstreams: int
    latency_seconds: float = 0.0
    """How long it took to answer shares of late; 0: it answered none."""
    connected: float | None = None
    """Since when the oldest connection that works does, unix seconds; None: none does."""


@dataclass(frozen=True, slots=True)
class ProxyRow:
    """One process of a proxy, as its last heartbeat told. Times in unix seconds."""

    proxy: str
    instance: str
    """Random per start."""
    alive: bool
    stopped: bool
    """It stopped in order; one that is neither alive nor stopped has died."""
    seen: float
    """When the last heartbeat was."""
    started: float
    version: str
    miners: int
    spool_rows: int
    spool_bytes: int
    spool_oldest_age_seconds: float
    spool_recording: bool
    unrecorded_shares: int
    loop_lag_seconds: float
    pools: tuple[ProxyPool, ...]


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One miner's connection. Times in unix seconds."""

    proxy: str
    instance: str
    connection: int
    pool_label: str
    pool: str
    miner: str
    """"ip:port"."""
    workers: tuple[str, ...]
    user_agent: str
    connected: float
    disconnected: float | None
    """None while it lasts; where its proxy died, the time of the last heartbeat."""
    disconnect_reason: str
    difficulty: float
    last_share: float | None
    """When it last submitted a share that was accepted."""
    accepted: int
    rejected_by_reason: Mapping[str, int]
    hash_rate: float
    """H/s; 0 once it has ended."""
    updated: float
    pool_difficulty: float
    """What its pool asks for; 0: not known."""
    best_share: float
    """Highest actual difficulty of an accepted share; so is the next, of the last one; 0: none was."""
    last_share_difficulty: float

    @property
    def rejected(self) -> int:
        return sum(self.rejected_by_reason.values())


PROXIES_SQL: Final = """\
SELECT proxy, toString(instance), toUnixTimestamp64Milli(ts), toUnixTimestamp64Milli(started), stopped, version, miners,
    spool_rows, spool_bytes, spool_oldest_age_seconds, spool_recording, unrecorded_shares, loop_lag_seconds,
    pools.pool_label, pools.pool, pools.state, pools.miners, pools.upstreams,
    pools.latency_seconds, pools.connected_ms
FROM heartbeats FINAL
WHERE ts >= toDateTime64({now:Int64} - 86400, 3, 'UTC')
ORDER BY proxy, ts DESC
LIMIT 1000"""

SESSION_COLUMNS: Final = """\
SELECT s.proxy, toString(s.instance), s.connection, s.pool_label, s.pool, s.miner, s.workers, s.user_agent,
    toUnixTimestamp64Milli(s.connected),
    multiIf(s.disconnected IS NOT NULL, toUnixTimestamp64Milli(assumeNotNull(s.disconnected)),
        h.seen < {now:Int64} - {alive:Int64}, toInt64(h.seen * 1000), toInt64(-1)) AS ended_ms,
    if(s.disconnected IS NULL AND ended_ms >= 0, {died:String}, s.disconnect_reason),
    s.difficulty, if(s.last_share IS NULL, NULL, toUnixTimestamp64Milli(assumeNotNull(s.last_share))), s.accepted,
    s.rejected_by_reason, if(ended_ms >= 0, 0, s.hash_rate), toUnixTimestamp64Milli(s.updated),
    s.pool_difficulty, s.best_share, s.last_share_difficulty"""
"""What session_row reads, of sessions `s` with SEEN joined to them. Binds `now`, `alive` and `died`."""

SEEN: Final = """\
LEFT JOIN
(
    SELECT proxy, instance, toFloat64(max(ts)) AS seen FROM heartbeats GROUP BY proxy, instance
) AS h ON s.proxy = h.proxy AND s.instance = h.instance"""
"""When the proxy's process of each session `s` was last heard of: `h.seen`."""

SESSIONS_SQL: Final = f"""\
{SESSION_COLUMNS}
FROM
(
    -- Of what 30 days left, only what processes of late can still have; they are the beginning of the key.
    SELECT * FROM sessions FINAL
    WHERE (proxy, instance) IN
    (
        SELECT proxy, instance FROM heartbeats
        WHERE ts >= toDateTime64({{now:Int64}} - {{alive:Int64}} - {{ended_within:Int64}}, 3, 'UTC')
    )
) AS s
{SEEN}
WHERE ended_ms < 0 OR ended_ms >= ({{now:Int64}} - {{ended_within:Int64}}) * 1000
ORDER BY s.connected, s.proxy, s.connection
LIMIT {{most:UInt32}}"""  # noqa: S608 - of constants alone


def proxy_row(row: Sequence[Any], now: int, alive_seconds: int) -> ProxyRow:
    """A row of PROXIES_SQL."""
    proxy, instance, ts_ms, started_ms, stopped, *facts = row
    version, miners, spool_rows, spool_bytes, age, recording, unrecorded, lag, *pools = facts
    return ProxyRow(
        proxy=proxy,
        instance=instance,
        alive=not stopped and ts_ms >= (now - alive_seconds) * 1000,
        stopped=bool(stopped),
        seen=ts_ms / 1000,
        started=started_ms / 1000,
        version=version,
        miners=miners,
        spool_rows=spool_rows,
        spool_bytes=spool_bytes,
        spool_oldest_age_seconds=age,
        spool_recording=bool(recording),
        unrecorded_shares=unrecorded,
        loop_lag_seconds=lag,
        pools=tuple(_pool(*pool) for pool in zip(*pools, strict=True)),
    )


def _pool(
    pool_label: str, pool: str, state: str, miners: int, upstreams: int, latency_seconds: float, connected_ms: int
) -> ProxyPool:
    connected = connected_ms / 1000 if connected_ms else None
    return ProxyPool(pool_label, pool, state, miners, upstreams, latency_seconds, connected)


def sessions_bound(now: int, ended_within_seconds: int, alive_seconds: int) -> dict[str, Any]:
    """What SESSIONS_SQL's parameters are bound to."""
    return {
        "now": now,
        "alive": alive_seconds,
        "ended_within": ended_within_seconds,
        "died": PROXY_DIED,
        "most": MOST_SESSIONS,
    }


def session_row(row: Sequence[Any]) -> SessionRow:
    """A row of SESSION_COLUMNS."""
    proxy, instance, connection, pool_label, pool, miner, workers, user_agent, connected_ms, ended_ms, *facts = row
    reason, difficulty, last_share_ms, accepted, rejected, hash_rate, updated_ms, *hardness = facts
    pool_difficulty, best_share, last_share_difficulty = hardness
    return SessionRow(
        proxy=proxy,
        instance=instance,
        connection=connection,
        pool_label=pool_label,
        pool=pool,
        miner=miner,
        workers=tuple(workers),
        user_agent=user_agent,
        connected=connected_ms / 1000,
        disconnected=ended_ms / 1000 if ended_ms >= 0 else None,
        disconnect_reason=reason,
        difficulty=difficulty,
        last_share=None if last_share_ms is None else last_share_ms / 1000,
        accepted=accepted,
        rejected_by_reason=dict(sorted(rejected.items())),
        hash_rate=hash_rate,
        updated=updated_ms / 1000,
        pool_difficulty=pool_difficulty,
        best_share=best_share,
        last_share_difficulty=last_share_difficulty,
    )
