"""What became of audits: each run leaves a row, so that a page can tell when the shares were last verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.warehouse.client import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.audit import AuditResult, Scope

LAST_AUDIT_SQL: Final = """\
SELECT toUnixTimestamp64Milli(started), seconds, toUnixTimestamp(period_start), toUnixTimestamp(period_end), worker,
    shares, jobs, mismatches
FROM audits ORDER BY started DESC LIMIT 1"""
_RECORD: Final = """\
INSERT INTO audits (started, seconds, period_start, period_end, worker, shares, jobs, mismatches)
SELECT fromUnixTimestamp64Milli({started:Int64}, 'UTC'), {seconds:Float64}, toDateTime({start:Int64}, 'UTC'),
    toDateTime({end:Int64}, 'UTC'), {worker:String}, {shares:UInt64}, {jobs:UInt64},
    CAST(arrayZip({kinds:Array(String)}, {counts:Array(UInt64)}), 'Map(String, UInt64)')"""


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """A finished audit."""

    started: float
    """Unix seconds, as the next ones."""
    seconds: float
    """How long it took."""
    period_start: int
    period_end: int
    """Exclusive."""
    worker: str
    """'' for all of them."""
    shares: int
    jobs: int
    mismatches: Mapping[str, int]
    """Counts by kind; empty where everything fits."""

    @property
    def is_sound(self) -> bool:
        return not self.mismatches


def audit_summary(row: Sequence[Any]) -> AuditSummary:
    """The audit in a row of LAST_AUDIT_SQL."""
    started_ms, seconds, start, end, worker, shares, jobs, mismatches = row
    return AuditSummary(started_ms / 1000, seconds, start, end, worker, shares, jobs, dict(sorted(mismatches.items())))


async def record_audit(address: ClickHouseAddress, scope: Scope, result: AuditResult, *, started: float) -> None:
    """Keep a finished audit; `started` in unix seconds. Raises what clickhouse-connect and aiohttp raise."""
    found = sorted(result.mismatches.items())
    bound = {
        "started": int(started * 1000),
        "seconds": result.seconds,
        "start": scope.start,
        "end": scope.end,
        "worker": scope.worker or "",
        "shares": result.shares,
        "jobs": result.jobs,
        "kinds": [str(kind.value) for kind, _ in found],
        "counts": [count for _, count in found],
    }
    connection = Connection(address)
    try:
        await (await connection.client()).command(_RECORD, parameters=bound, settings={"async_insert": 0})
    finally:
        await connection.close()
