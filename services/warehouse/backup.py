"""Backup and restore of the whole store by ClickHouse's own BACKUP and RESTORE, to its disk `backups`.

ClickHouse does the work beside everything else, and goes on if we leave; here it is begun, watched and told of. What is
on S3 is copied too. A backup is a folder, or one file where its name ends with .tar.gz.

A restore makes the tables first, and sets how long they keep their rows: an old backup's own TTLs would delete its
shares as soon as they are there.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.client import Connection
from services.warehouse.keeping import keeping_days
from services.warehouse.tiering import apply_tiering

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.retention import Retention

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_WATCH_SECONDS: Final = 0.5
_KEPT_TABLES: Final = ("shares", "jobs", "found_blocks", "block_candidates")
_ALIVE_SECONDS: Final = 10
_STATE: Final = (
    "SELECT status, error, num_files, total_size, files_read, bytes_read FROM system.backups WHERE id = {id:String}"
)
_ROWS: Final = (
    "SELECT sum(total_rows) FROM system.tables WHERE database = {database:String} AND has({tables:Array(String)}, name)"
)
_ALIVE: Final = (
    "SELECT count() FROM {database:Identifier}.heartbeats FINAL"
    " WHERE ts > now64(3) - INTERVAL {seconds:UInt32} SECOND AND NOT stopped"
)
_TABLES: Final = "SELECT name FROM system.tables WHERE database = {database:String} ORDER BY engine LIKE '%View' DESC"
_EXISTS: Final = "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'heartbeats'"


class BackupError(Exception):
    """ClickHouse gave up on a backup or a restore; the text is its own, in one line."""


class BackupNameError(ValueError):
    """A name that no backup can have."""


class StoreInUseError(ValueError):
    """A store that cannot be restored into."""


@dataclass(frozen=True, slots=True)
class BackupState:
    """How far it is; sizes are known once ClickHouse has listed what there is."""

    files: int
    size_bytes: int
    files_read: int
    bytes_read: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored:
    state: BackupState
    kept_days: int | None
    """After how many days shares were deleted where the backup was made; None is never."""


def checked_name(name: str) -> str:
    """Gives `name` back. Raises BackupNameError for what could lead out of the folder of backups."""
    if not _NAME.fullmatch(name):
        raise BackupNameError(
            f"{name!r} cannot be a backup's name: up to 128 letters, digits, dots, hyphens and _, without a folder"
        )
    return name


async def create_backup(address: ClickHouseAddress, name: str, on_state: Callable[[BackupState], None]) -> BackupState:
    """Copies the database to the backup `name`. Raises BackupError, and what clickhouse-connect and aiohttp raise."""
    connection = Connection(address, database="system")
    try:
        client = await connection.client()
        return await _run(
            client, f"BACKUP DATABASE {address.database} TO Disk('backups', '{checked_name(name)}')", on_state
        )
    finally:
        await connection.close()


async def restore_backup(
    address: ClickHouseAddress, name: str, retention: Retention, on_state: Callable[[BackupState], None]
) -> Restored:
    """Makes the database anew from the backup `name`, to keep rows as `retention` says; the schema's migrations are the
    caller's to apply then.

    Raises StoreInUseError unless the store is empty and no proxy writes to it, BackupError, and what clickhouse-connect
    and aiohttp raise.
    """
    checked_name(name)
    connection = Connection(address, database="system")
    try:
        client = await connection.client()
        await _refuse_in_use(client, address)
        # Its tables are empty, and a backup brings its own, in the form that they had.
        await _drop_tables(client, address.database)
        restore = f"RESTORE DATABASE {address.database} FROM Disk('backups', '{name}') SETTINGS"
        await _run(client, f"{restore} structure_only = true", on_state)
        kept = await _keep_as(address, retention)
        return Restored(await _run(client, f"{restore} allow_different_table_def = true", on_state), kept)
    finally:
        await connection.close()


async def _keep_as(address: ClickHouseAddress, retention: Retention) -> int | None:
    """After how many days shares went where the backup was made."""
    connection = Connection(address)
    try:
        client = await connection.client()
        days = await keeping_days(client)
        await apply_tiering(client, retention)
        return days
    finally:
        await connection.close()


async def _refuse_in_use(client: AsyncClient, address: ClickHouseAddress) -> None:
    bound: dict[str, Any] = {"database": address.database}
    ((rows,),) = await _rows(client, _ROWS, {**bound, "tables": list(_KEPT_TABLES)})
    if rows:
        raise StoreInUseError(f"database {address.database} holds {rows:,} rows already")
    if (await _rows(client, _EXISTS, bound))[0][0]:
        ((proxies,),) = await _rows(client, _ALIVE, {**bound, "seconds": _ALIVE_SECONDS})
        if proxies:
            raise StoreInUseError(f"{proxies} proxy processes write to database {address.database}; stop them first")


async def _drop_tables(client: AsyncClient, database: str) -> None:
    """All of them, views first; the database stays, for a request that names none works in it."""
    for (table,) in await _rows(client, _TABLES, {"database": database}):
        await client.command(
            "DROP TABLE IF EXISTS {database:Identifier}.{table:Identifier} SYNC",
            parameters={"database": database, "table": table},
        )


async def _run(client: AsyncClient, statement: str, on_state: Callable[[BackupState], None]) -> BackupState:
    began = time.monotonic()
    begun: Any = await client.command(f"{statement} ASYNC")
    identity = str(begun[0] if isinstance(begun, list) else begun).split("\t")[0]
    while True:
        found = await _rows(client, _STATE, {"id": identity})
        if not found:
            raise BackupError("ClickHouse was restarted meanwhile")
        status, error, files, size_bytes, files_read, bytes_read = found[0]
        state = BackupState(files, size_bytes, files_read, bytes_read, time.monotonic() - began)
        if status in ("BACKUP_CREATED", "RESTORED"):
            return state
        if status not in ("CREATING_BACKUP", "RESTORING"):
            raise BackupError(_first_sentence(error) or status)
        on_state(state)
        await asyncio.sleep(_WATCH_SECONDS)


def _first_sentence(error: str) -> str:
    """ClickHouse's own words, without its stack trace."""
    text = error.split(", Stack trace", 1)[0].split("DB::Exception: ", 1)[-1]
    return " ".join(text.split())[:500]


async def _rows(client: AsyncClient, sql: str, bound: dict[str, Any]) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = (await client.query(sql, parameters=bound)).result_rows
    return rows
