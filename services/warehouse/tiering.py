"""When shares move from volume `hot` (local disk) to `cold` (S3), and when they go for good: TTLs on the tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

log = structlog.get_logger()

# A job is sent before its shares are; one that came late by a spool is as old as they are.
_JOBS_LONGER_DAYS: Final = 7
# Whole days go at once: nothing is read from S3, or written anew, to delete from it.
_WHOLE_PARTS: Final = "ttl_only_drop_parts = 1"
_TTL: Final = re.compile(r" TTL (.*?)(?: SETTINGS |$)")


async def apply_tiering(client: AsyncClient, *, hot_days: int, keep_days: int | None = None, cluster: str = "") -> bool:
    """Sets or removes the TTLs of `shares` and `jobs`, where they are not as they should be; True if shares go to S3.

    Shares go to volume `cold`, where there is one, after `hot_days`, and are deleted after `keep_days`; None is never.
    """
    volumes = await client.query("SELECT volume_name FROM system.storage_policies WHERE policy_name = 'tiered'")
    has_cold = ("cold",) in {tuple(row) for row in volumes.result_rows}
    moves = [f"toDateTime(ts) + toIntervalDay({int(hot_days)}) TO VOLUME 'cold'"] if has_cold else []
    ends, jobs_end = [], ""
    on = f"ON CLUSTER {cluster} " if cluster else ""
    if keep_days is not None:
        ends = [f"toDateTime(ts) + toIntervalDay({int(keep_days)})"]
        jobs_end = f"toDateTime(last_sent) + toIntervalDay({int(keep_days) + _JOBS_LONGER_DAYS})"
        if _WHOLE_PARTS not in await _engine(client, "shares"):
            await client.command(f"ALTER TABLE shares {on}MODIFY SETTING {_WHOLE_PARTS}")
    await _set_ttl(client, "jobs", jobs_end, on)
    if await _set_ttl(client, "shares", ", ".join(moves + ends), on):
        if has_cold:
            log.info("shares_move_to_cold", after_days=hot_days)
        else:
            log.info("shares_stay_local")
        if keep_days is not None:
            log.info("shares_are_deleted", after_days=keep_days)
    return has_cold


async def _set_ttl(client: AsyncClient, table: str, wanted: str, on: str) -> bool:
    """Gives a table this TTL, or none; True if it had another."""
    found = _TTL.search(await _engine(client, table))
    if (found[1] if found else "") == wanted:
        return False
    await client.command(f"ALTER TABLE {table} {on}" + (f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"))
    return True


async def _engine(client: AsyncClient, table: str) -> str:
    result = await client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    )
    return str(result.result_rows[0][0])
