"""The table of miners: the shares and the connections of one worker on one pool put together, as one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from services.warehouse.queries import OK_SECONDS, MinerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.warehouse.queries import SessionRow

State = Literal["active", "waiting", "silent", "left"]
"""active: connected, with an accepted share in the last 10 minutes; waiting: connected less than 10 minutes ago, and
none yet; silent: connected, and none for 10 minutes; left: not connected to any proxy that lives."""
STATES: Final[tuple[State, ...]] = ("active", "waiting", "silent", "left")
NO_NAME: Final = "(no name yet)"
_DIGITS: Final = ".6g"


class Miner(Struct, frozen=True, array_like=True):
    """A row of the table, as the browser gets it: an array. Times in unix seconds, 0 for never.

    Counts and the best share are those of 24 hours; of a single connection, those since it began.
    """

    worker: str
    pool: str
    state: State
    hash_rate: float
    """H/s, of five minutes."""
    accepted: int
    rejected: dict[str, int]
    pool_difficulty: float
    """What the pool asks for; 0: not known. So is the next, what the miner was told."""
    difficulty: float
    last_share: int
    best: float
    user_agent: str
    connected: int
    address: str
    """ "ip:port" of a single connection, else ''."""
    connections: tuple[Miner, ...] = ()
    """Each by itself, where there are several; the oldest first."""

    @property
    def key(self) -> str:
        return row_key(self.worker, self.pool)

    @property
    def rejected_count(self) -> int:
        return sum(self.rejected.values())


def row_key(worker: str, pool: str) -> str:
    """Names a row; a worker's name may hold anything, so its length goes before it."""
    return f"{len(worker)}:{worker}@{pool}"


def grouped(rows: Iterable[MinerRow], sessions: Iterable[SessionRow], now: int) -> tuple[Miner, ...]:
    """Shares and connections put together by worker and pool; the greatest hash rate first, then by name.

    A connection that authorized several workers belongs to each; one that authorized none yet has no name. Shares in
    the name of a worker that was not authorized are nobody's, so no miner's.
    """
    shares = {(row.worker, row.pool_label): row for row in rows if row.worker}
    connections: dict[tuple[str, str], list[SessionRow]] = {}
    for session in sessions:
        for worker in session.workers or ("",):
            connections.setdefault((worker, session.pool_label), []).append(session)
    miners = [
        _miner(shares.get(key) or MinerRow(*key), connections.get(key, ()), now)
        for key in dict.fromkeys((*shares, *connections))
    ]
    return tuple(sorted(miners, key=lambda miner: (-miner.hash_rate, miner.worker, miner.pool)))


def _miner(shares: MinerRow, connections: Sequence[SessionRow], now: int) -> Miner:
    first, last = (connections[0], connections[-1]) if connections else (None, None)
    return Miner(
        worker=shares.worker,
        pool=shares.pool_label,
        state=_state(shares.ok, [one.connected for one in connections], now),
        hash_rate=_rounded(shares.hash_rate_5m),
        accepted=shares.accepted,
        rejected=dict(shares.rejected_by_reason),
        pool_difficulty=last.pool_difficulty if last else 0.0,
        difficulty=last.difficulty if last else shares.difficulty,
        last_share=int(shares.last_share),
        best=_rounded(shares.best_share),
        user_agent=", ".join(dict.fromkeys(one.user_agent for one in connections if one.user_agent)),
        connected=int(first.connected) if first else 0,
        address=first.miner if first and len(connections) == 1 else "",
        connections=tuple(_connection(one, shares, now) for one in connections) if len(connections) > 1 else (),
    )


def _connection(session: SessionRow, shares: MinerRow, now: int) -> Miner:
    last = session.last_share or 0
    return Miner(
        worker=shares.worker,
        pool=shares.pool_label,
        state=_state(last > now - OK_SECONDS, [session.connected], now),
        hash_rate=_rounded(session.hash_rate),
        accepted=session.accepted,
        rejected=dict(session.rejected_by_reason),
        pool_difficulty=session.pool_difficulty,
        difficulty=session.difficulty,
        last_share=int(last),
        best=_rounded(session.best_share),
        user_agent=session.user_agent,
        connected=int(session.connected),
        address=session.miner,
    )


def _state(ok: bool, connected: Sequence[float], now: int) -> State:
    if not connected:
        return "left"
    if ok:
        return "active"
    return "waiting" if any(since > now - OK_SECONDS for since in connected) else "silent"


def _rounded(value: float) -> float:
    """Six digits: nobody reads more of them, and every page is sent them again and again."""
    return float(format(value, _DIGITS))
