"""Backup and restore of the whole store by ClickHouse's own BACKUP and RESTORE, to its disk `backups`.

ClickHouse does the work beside everything else, and goes on if we leave; here it is begun, watched and told of. What is
on S3 is copied too. A backup is a folder, or one file where its name ends with .tar.gz.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

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


async def restore_backup(address: ClickHouseAddress, name: str, on_state: Callable[[BackupState], None]) -> BackupState:
    """Makes the database anew from the backup `name`; the schema's migrations are the caller's to apply then.

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
        return await _run(client, f"RESTORE DATABASE {address.database} FROM Disk('backups', '{name}')", on_state)
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
