"""Leaves out of a restored store the shares whose job its backup has not.

A backup takes tables one after the other. Where `jobs` was before `shares`, shares that came in between may lack their
job, so that nobody could prove them. Without them the store is what it was a moment earlier. Shares that lack their job
for another reason are older, and stay: an audit has to find them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

log = structlog.get_logger()

_LAST_SECONDS: Final = 600
"""Before the newest share: a backup has caught all tables long before it is written."""
_LACKING: Final = """\
SELECT groupUniqArray(lower(hex(s.job))), count() FROM shares AS s
WHERE s.ts > (SELECT max(ts) FROM shares) - {seconds:UInt32} AND s.job != toFixedString('', 16)
    AND s.job NOT IN (SELECT job FROM jobs)"""
_LEAVE_OUT: Final = """\
ALTER TABLE shares DELETE WHERE ts > (SELECT max(ts) FROM shares) - {seconds:UInt32}
    AND has({jobs:Array(String)}, lower(hex(job)))
SETTINGS mutations_sync = 2"""


async def leave_out_without_job(address: ClickHouseAddress) -> int:
    """How many were left out; nobody may write meanwhile. Raises what clickhouse-connect and aiohttp raise."""
    connection = Connection(address, timeout_seconds=3600)
    try:
        client = await connection.client()
        result = await client.query(_LACKING, parameters={"seconds": _LAST_SECONDS})
        jobs, shares = result.result_rows[0]
        if shares:
            await client.command(_LEAVE_OUT, parameters={"seconds": _LAST_SECONDS, "jobs": jobs})
            log.warning("shares_without_job_left_out", shares=shares, jobs=len(jobs))
        return int(shares)
    finally:
        await connection.close()
