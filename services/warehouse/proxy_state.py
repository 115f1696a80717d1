"""What a proxy tells of itself, and its one way into ClickHouse: the latest state of sessions, and a heartbeat.

Nothing is spooled: a row that is lost is made good by the next one for the same key.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from services.warehouse.client import Connection, StoreUnavailable, answered_within, cancellation_kept
from services.warehouse.migrate import apply_migrations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.warehouse.address import ClickHouseAddress

WRITE_SECONDS: Final = 5.0
_PORTION: Final = 100
_SETTINGS: Final = {"async_insert": 0}
_TIMES: Final = ("updated", "connected", "disconnected", "last_share", "ts", "started", "first", "last")
_COLUMNS: Final = {f"{name}_ms": name for name in _TIMES}


class Session(Struct, frozen=True, kw_only=True, rename=_COLUMNS):
    """One miner's connection, as table `sessions` keeps it. Times are unix milliseconds."""

    updated_ms: int
    """The greatest of a connection's rows counts."""
    proxy: str
    instance: str
    """UUID of the proxy's process."""
    connection: int
    """Counts within the instance."""
    pool_label: str
    pool: str
    miner: str
    """Miner's address, "ip:port"."""
    workers: tuple[str, ...]
    user_agent: str
    connected_ms: int
    disconnected_ms: int | None
    disconnect_reason: str
    difficulty: float
    """What the miner was told last; 0 before that."""
    last_share_ms: int | None
    """When it last submitted one that was accepted."""
    accepted: int
    rejected_by_reason: dict[str, int]
    hash_rate: float
    """H/s, by the credited difficulty of the last minutes."""
    pool_difficulty: float = 0.0
    """What the pool asks for; 0 before the first job."""
    best_share: float = 0.0
    """Highest actual difficulty of a share that was accepted; 0 before the first. So is the next, of the last one."""
    last_share_difficulty: float = 0.0


class Unrecorded(Struct, frozen=True, kw_only=True, rename=_COLUMNS):
    """One worker's shares that a proxy's process could not record, as table `unrecorded_shares` keeps them.

    Totals since the process began. Times are unix milliseconds.
    """

    updated_ms: int
    """The greatest of a worker's rows counts."""
    proxy: str
    instance: str
    pool_label: str
    worker: str
    first_ms: int
    last_ms: int
    accepted: int
    rejected: int
    difficulty_accepted: float
    """Sum of the credited difficulty."""


class PoolState(Struct, frozen=True, kw_only=True):
    """How one proxy stands with one pool."""

    pool_label: str
    pool: str
    """The address in use, "host:port"."""
    state: str
    """ready: at least one connection works; away: miners wait for one; idle: nobody needs one."""
    miners: int
    upstreams: int
    """Connections that work."""
    latency_seconds: float = 0.0
    """How long it took to answer shares of late; 0: it answered none."""
    connected_ms: int = 0
    """Since when the oldest connection that works does, unix milliseconds; 0: none does."""


class Heartbeat(Struct, frozen=True, kw_only=True, rename=_COLUMNS):
    """One proxy's process, as table `heartbeats` keeps it. Times are unix milliseconds."""

    ts_ms: int
    proxy: str
    instance: str
    started_ms: int
    stopped: bool
    """It has stopped in order: this is its last."""
    version: str
    miners: int
    spool_rows: int
    spool_bytes: int
    spool_oldest_age_seconds: float
    spool_recording: bool
    unrecorded_shares: int
    loop_lag_seconds: float
    """The longest that the event loop was held up since the heartbeat before."""
    pools: tuple[PoolState, ...]


class StateWriter:
    """Writes to ClickHouse, creating the schema where it is missing. One call at a time."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._address = address
        self._connection = Connection(address, timeout_seconds=WRITE_SECONDS)
        self._schema_ready = False

    async def write(
        self, sessions: Sequence[Session], heartbeat: Heartbeat, unrecorded: Sequence[Unrecorded] = ()
    ) -> None:
        """Raises StoreUnavailable, within WRITE_SECONDS and a little, where ClickHouse did not take it all."""
        try:
            with answered_within(WRITE_SECONDS):
                async with asyncio.timeout(WRITE_SECONDS):
                    with cancellation_kept():
                        await self._write(sessions, heartbeat, unrecorded)
        except StoreUnavailable as error:
            # Who comes back with other data may have no tables.
            self._schema_ready = self._schema_ready and error.trouble == "slow"
            raise

    async def close(self) -> None:
        await self._connection.close()

    async def _write(self, sessions: Sequence[Session], heartbeat: Heartbeat, unrecorded: Sequence[Unrecorded]) -> None:
        if not self._schema_ready:
            await apply_migrations(self._address)
            self._schema_ready = True
        if sessions:
            await self._insert("sessions", session_fields(), await _encoded_in_portions(sessions))
        if unrecorded:
            rows = b"\n".join([_encoded(row) for row in unrecorded])
            await self._insert("unrecorded_shares", Unrecorded.__struct_encode_fields__, rows)
        columns = heartbeat_columns(heartbeat)
        await self._insert("heartbeats", tuple(columns), msgspec.json.encode(columns))

    async def _insert(self, table: str, columns: tuple[str, ...], body: bytes) -> None:
        client = await self._connection.client()
        await client.raw_insert(
            table, column_names=columns, insert_block=body, fmt="JSONEachRow", settings=dict(_SETTINGS)
        )


def session_fields() -> tuple[str, ...]:
    """The columns of `sessions`."""
    return Session.__struct_encode_fields__


def encode_sessions(sessions: Iterable[Session]) -> bytes:
    """Rows as JSON, one a line."""
    return b"\n".join([_encoded(session) for session in sessions])


async def _encoded_in_portions(sessions: Sequence[Session]) -> bytes:
    """As encode_sessions; the event loop's others have their turn in between: 20,000 rows take a third of a second."""
    portions = []
    for at in range(0, len(sessions), _PORTION):
        portions.append(encode_sessions(sessions[at : at + _PORTION]))
        await asyncio.sleep(0)
    return b"\n".join(portions)


def heartbeat_columns(heartbeat: Heartbeat) -> dict[str, Any]:
    """A row of `heartbeats` by column; `pools` becomes one array for each of its fields."""
    row = _columns(heartbeat)
    pools = row.pop("pools")
    return row | {f"pools.{name}": [pool[name] for pool in pools] for name in PoolState.__struct_fields__}


def _columns(record: Session | Unrecorded | Heartbeat) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(record)
    for name in _TIMES:
        if row.get(name) is not None:
            row[name] = datetime.fromtimestamp(row[name] / 1000, UTC).isoformat(" ", "milliseconds")[:23]
    return row


def _encoded(record: Session | Unrecorded) -> bytes:
    columns = _columns(record)
    try:
        return msgspec.json.encode(columns)
    except UnicodeEncodeError:
        # A lone surrogate, which JSON from a miner may spell and UTF-8 cannot.
        return msgspec.json.encode({name: _storable(value) for name, value in columns.items()})


def _storable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
