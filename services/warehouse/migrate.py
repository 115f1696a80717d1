"""Brings ClickHouse's schema up to this code's: the numbered .sql files of services/warehouse/migrations.

ClickHouse has neither transactions nor locks across sessions, so every statement in a migration is idempotent (IF NOT
EXISTS) and several processes may run the same one at once, or again after a kill; a test runs each of them so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse import cluster
from services.warehouse.client import Connection
from services.warehouse.retention import Retention
from services.warehouse.tiering import apply_tiering

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

_MISSING = frozenset({60, 81})  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_RECORDS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    applied DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY version
"""


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    statements: tuple[str, ...]


async def migrate(address: ClickHouseAddress, retention: Retention = Retention()) -> list[str]:  # noqa: B008 - frozen
    """Creates the database, applies what is missing, and sets when shares go to volume `cold`, if there is one,
    and when rows are deleted.

    Returns the names of the migrations that this call applied. Raises what clickhouse-connect and aiohttp raise.
    """
    applied = await apply_migrations(address)
    connection = Connection(address)
    try:
        await apply_tiering(await connection.client(), retention, cluster=address.cluster)
    finally:
        await connection.close()
    return applied


async def apply_migrations(address: ClickHouseAddress) -> list[str]:
    """The schema alone; needs no right but SELECT where it is up to date."""
    connection = Connection(address, database="system")
    try:
        client = await connection.client()
        known = await _applied_versions(client, address.database)
        missing = [migration for migration in migrations() if migration.version not in known]
        if missing and address.cluster:
            for statement in cluster.databases(address.database, address.cluster):
                await client.command(statement)
        elif missing:
            await client.command(
                "CREATE DATABASE IF NOT EXISTS {database:Identifier}", parameters={"database": address.database}
            )
    finally:
        await connection.close()
    if missing:
        await _apply(address, missing)
    return [migration.name for migration in missing]


async def missing_migrations(address: ClickHouseAddress) -> list[str]:
    """Names of those that are not applied yet. Raises as `migrate` does."""
    connection = Connection(address, database="system")
    try:
        known = await _applied_versions(await connection.client(), address.database)
    finally:
        await connection.close()
    return [migration.name for migration in migrations() if migration.version not in known]


async def _apply(address: ClickHouseAddress, missing: list[Migration]) -> None:
    connection = Connection(address)
    try:
        client = await connection.client()
        for statement in rendered(_RECORDS, address):
            await client.command(statement)
        for migration in missing:
            for one in migration.statements:
                for statement in rendered(one, address):
                    await client.command(statement)
            await client.command(
                "INSERT INTO schema_migrations (version, name) SELECT {version:UInt32}, {name:String}",
                parameters={"version": migration.version, "name": migration.name},
                settings={"async_insert": 0},
            )
    finally:
        await connection.close()


async def _applied_versions(client: AsyncClient, database: str) -> set[int]:
    try:
        result = await client.query(
            "SELECT DISTINCT version FROM {database:Identifier}.schema_migrations", parameters={"database": database}
        )
    except ClickHouseError as error:
        if isinstance(error, Error) and error.code in _MISSING:
            return set()
        raise
    return {int(row[0]) for row in result.result_rows}


def rendered(statement: str, address: ClickHouseAddress) -> tuple[str, ...]:
    """What is run of a migration's statement: for a cluster, more than the statement itself."""
    return cluster.rendered(statement, address.database, address.cluster)


@cache
def migrations() -> tuple[Migration, ...]:
    """This code's migrations in order: NNNN_name.sql, whose statements end with ";" at the end of a line."""
    found = []
    for file in files("services.warehouse").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            statements = [part.strip() for part in file.read_text(encoding="utf-8").split(";\n")]
            found.append(
                Migration(
                    int(file.name[:4]), file.name.removesuffix(".sql"), tuple(part for part in statements if part)
                )
            )
    return tuple(sorted(found, key=lambda migration: migration.version))
