"""The schema of a cluster, made from the same migrations: each statement is rendered for every shard and replica.

On each server, database NAME holds the shard's own tables, replicated within the shard, and NAME_all a Distributed
table of the same name over each: what reads there sees every shard, by the same SQL. A spool's segment is shipped to
one shard, straight into its own tables, so that a repeated batch meets the deduplication window that has its token.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from services.warehouse.address import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_CREATE_TABLE: Final = re.compile(r"^((?:\s*--[^\n]*\n)*\s*)CREATE TABLE IF NOT EXISTS (\w+)")
_CREATE_VIEW: Final = re.compile(r"^((?:\s*--[^\n]*\n)*\s*)CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO ")
_ALTER: Final = re.compile(r"^((?:\s*--[^\n]*\n)*\s*)ALTER TABLE (\w+)\s")
_DROP: Final = re.compile(r"^((?:\s*--[^\n]*\n)*\s*)DROP (TABLE|VIEW) IF EXISTS (\w+)")
_INSERT: Final = re.compile(r"^(?:\s*--[^\n]*\n)*\s*INSERT INTO \w+\s+SELECT\b")
_OF_TABLE: Final = re.compile(r"\b(INTO|FROM|JOIN) (\w+)\b")
_COMMENT: Final = re.compile(r"^\s*--[^\n]*\n", re.MULTILINE)
_ENGINE: Final = re.compile(r"^ENGINE = (\w*)MergeTree(?:\((.*?)\))?$", re.MULTILINE)
_IS_VIEW: Final = re.compile(r"_to_")
# Alterations of columns, which a table that reads from every shard must follow.
_OF_COLUMNS: Final = re.compile(r"\b(ADD|DROP|RENAME) COLUMN\b")
# Rows of one key must meet on one shard, or FINAL could not tell which is the newest. Of other tables, those that the
# spool fills are written to a shard directly, and it does not matter where the rest go.
_SHARDED_BY: Final = {
    "sessions": "cityHash64(proxy)",
    "heartbeats": "cityHash64(proxy)",
    "pool_states": "cityHash64(proxy)",
    "unrecorded_shares": "cityHash64(proxy)",
    "config_revisions": "cityHash64(revision)",
    "config_answers": "cityHash64(revision)",
}
_OF_ALL_SERVERS: Final = frozenset({"schema_migrations", "shares_1d_since"})
"""What is one truth for all shards: every server is a replica of it."""


class UnrenderableError(ValueError):
    """A statement of a migration that this module does not know how to spread over a cluster."""


def databases(database: str, cluster: str) -> tuple[str, ...]:
    """The statements that make both databases."""
    return tuple(
        f"CREATE DATABASE IF NOT EXISTS {name} ON CLUSTER {cluster}" for name in (database, database + EVERYWHERE)
    )


def rendered(statement: str, database: str, cluster: str) -> tuple[str, ...]:
    """One statement of a migration, as statements for a cluster; as it is where `cluster` is ''.

    Raises UnrenderableError for a kind of statement that no migration had so far.
    """
    if not cluster:
        return (statement,)
    on = f"ON CLUSTER {cluster}"
    if found := _CREATE_TABLE.match(statement):
        table = found[2]
        local = _CREATE_TABLE.sub(rf"\g<1>CREATE TABLE IF NOT EXISTS \g<2> {on}", statement, count=1)
        local, engines = _ENGINE.subn(lambda engine: _replicated(engine, database, table), local)
        if engines != 1:
            raise UnrenderableError(f"{table}: its engine is not of the MergeTree family, alone on its line")
        return (local, _everywhere(table, database, cluster))
    if _CREATE_VIEW.match(statement):
        return (_CREATE_VIEW.sub(rf"\g<1>CREATE MATERIALIZED VIEW IF NOT EXISTS \g<2> {on} TO ", statement, count=1),)
    if found := _ALTER.match(statement):
        local = _ALTER.sub(rf"\g<1>ALTER TABLE \g<2> {on} ", statement, count=1)
        if _OF_COLUMNS.search(statement) and not _IS_VIEW.search(found[2]):
            table = found[2]
            # Its columns are those of the shard's table; it holds no rows, so it can be made anew.
            drop = f"DROP TABLE IF EXISTS {database}{EVERYWHERE}.{table} {on} SYNC"
            return (local, drop, _everywhere(table, database, cluster))
        return (local,)
    if _DROP.match(statement):
        return (_DROP.sub(rf"\g<1>DROP \g<2> IF EXISTS \g<3> {on}", statement, count=1),)
    if _INSERT.match(statement):
        # What is computed from rows is computed from those of all shards, once.
        return (_OF_TABLE.sub(lambda found: _qualified(found, database), _COMMENT.sub("", statement)),)
    raise UnrenderableError(f"no way is known to run this on a cluster: {statement[:200]}")


def shard_of(segment: UUID, shards: Sequence[int]) -> int:
    """The shard that a segment's rows go to, of these numbers: rendezvous hashing, so that a new shard takes its share
    of the segments and moves none between the others.
    """
    return max(shards, key=lambda shard: blake2b(segment.bytes + shard.to_bytes(4, "big"), digest_size=8).digest())


def _replicated(engine: re.Match[str], database: str, table: str) -> str:
    place = ("all", "{shard}-{replica}") if table in _OF_ALL_SERVERS else ("{shard}", "{replica}")
    arguments = [f"'/clickhouse/tables/{place[0]}/{database}/{table}'", f"'{place[1]}'"]
    if engine[2]:
        arguments.append(engine[2])
    return f"ENGINE = Replicated{engine[1]}MergeTree({', '.join(arguments)})"


def _qualified(found: re.Match[str], database: str) -> str:
    return f"{found[1]} {database}{'' if found[2] in _OF_ALL_SERVERS else EVERYWHERE}.{found[2]}"


def _everywhere(table: str, database: str, cluster: str) -> str:
    key = _SHARDED_BY.get(table, "rand()")
    return (
        f"CREATE TABLE IF NOT EXISTS {database}{EVERYWHERE}.{table} ON CLUSTER {cluster} AS {database}.{table}"
        f" ENGINE = Distributed({cluster}, {database}, {table}, {key})"
    )
