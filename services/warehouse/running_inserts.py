"""Whether an INSERT of a segment is still at work on the server, sent by an attempt that nobody waits for any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from clickhouse_connect.driver.asyncclient import AsyncClient


class UnsettledError(Exception):
    """It cannot be told yet whether ClickHouse has all of a batch, once; the batch is tried again later."""


class UsedUpError(UnsettledError):
    """Crashes have used up every token that the batch may go under; it needs others (`Segment.renew`)."""


async def none_running(client: AsyncClient, segment: UUID) -> None:
    """Raises UnsettledError while one is (each one's token begins with its segment), or what the client raises."""
    result = await client.query(
        "SELECT count() FROM system.processes"
        " WHERE startsWith(Settings['insert_deduplication_token'], {segment:String})",
        parameters={"segment": str(segment)},
    )
    if result.result_rows[0][0]:
        raise UnsettledError("ClickHouse is still at work on an earlier INSERT of this segment")
