"""When shares move from volume `hot` (local disk) to `cold` (S3): a TTL on the table, where the policy has a `cold`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

log = structlog.get_logger()


async def apply_tiering(client: AsyncClient, *, hot_days: int) -> bool:
    """Sets or removes the TTL of `shares`; True if shares go to S3. Changes nothing where it is as it should be."""
    volumes = await client.query("SELECT volume_name FROM system.storage_policies WHERE policy_name = 'tiered'")
    has_cold = ("cold",) in {tuple(row) for row in volumes.result_rows}
    table = await client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'shares'"
    )
    definition = str(table.result_rows[0][0])
    if has_cold and f"toIntervalDay({hot_days}) TO VOLUME 'cold'" not in definition:
        await client.command(
            f"ALTER TABLE shares MODIFY TTL toDateTime(ts) + toIntervalDay({int(hot_days)}) TO VOLUME 'cold'"
        )
        log.info("shares_move_to_cold", after_days=hot_days)
    elif not has_cold and "TO VOLUME" in definition:
        await client.command("ALTER TABLE shares REMOVE TTL")
        log.info("shares_stay_local")
    return has_cold
