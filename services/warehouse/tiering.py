"""When shares move from volume `hot` (local disk) to `cold` (S3), and when rows go for good: TTLs on the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from services.warehouse.keeping import TTL
from services.warehouse.retention import IN_WHOLE_PARTS

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.retention import Retention

log = structlog.get_logger()

_WHOLE_PARTS: Final = "ttl_only_drop_parts = 1"


async def apply_tiering(client: AsyncClient, retention: Retention, *, cluster: str = "") -> bool:
    """Sets or removes the TTLs of the tables that there are, where they are not as they should be; True if shares go to
    S3.
    """
    volumes = await client.query("SELECT volume_name FROM system.storage_policies WHERE policy_name = 'tiered'")
    has_cold = ("cold",) in {tuple(row) for row in volumes.result_rows}
    on = f"ON CLUSTER {cluster} " if cluster else ""
    engines = await _engines(client)
    for table, ends in retention.ttls().items():
        if table not in engines:
            continue
        moves = f"toDateTime(ts) + toIntervalDay({retention.hot_days}) TO VOLUME 'cold'" if has_cold else ""
        wanted = ", ".join(filter(None, (moves if table == "shares" else "", ends)))
        if ends and table in IN_WHOLE_PARTS and _WHOLE_PARTS not in engines[table]:
            await client.command(f"ALTER TABLE {table} {on}MODIFY SETTING {_WHOLE_PARTS}")
        found = TTL.search(engines[table])
        if (found[1] if found else "") == wanted:
            continue
        await client.command(f"ALTER TABLE {table} {on}" + (f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"))
        if table == "shares":
            _tell(retention, has_cold=has_cold)
    return has_cold


def _tell(retention: Retention, *, has_cold: bool) -> None:
    if has_cold:
        log.info("shares_move_to_cold", after_days=retention.hot_days)
    else:
        log.info("shares_stay_local")
    if retention.keep_days is not None:
        log.info("shares_are_deleted", after_days=retention.keep_days)


async def _engines(client: AsyncClient) -> dict[str, str]:
    result = await client.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    return {str(name): str(engine) for name, engine in result.result_rows}
