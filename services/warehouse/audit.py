"""Verifies the shares of any period inside ClickHouse, in stretches that bound memory and show how far it is.

Every header is hashed again and compared with the difficulties that were stored and credited; every merkle root is
rebuilt from the job and the extranonces; no header may have been accepted twice in the period.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from services.warehouse import audit_sql
from services.warehouse.client import Connection
from services.warehouse.mismatch import Mismatch
from services.warehouse.share_id import ShareId
from services.warehouse.stretches import Stretch, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

_SLICE_ROWS: Final = 8_000_000
# Other queries go first.
_SETTINGS: Final = {"priority": 10, "max_memory_usage": 4 << 30}


@dataclass(frozen=True, slots=True)
class Scope:
    """What is audited: shares in [start, end), unix seconds; of one worker where one is named."""

    start: int
    end: int
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with one share, or, for JOB_CONTENT, with one job, whose `share` is None."""

    kind: Mismatch
    detail: str
    share: ShareId | None = None
    ts_ms: int = 0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit is; `step` is headers, jobs or repeats."""

    step: str
    done: int
    total: int
    seconds: float


@dataclass(slots=True)
class AuditResult:
    """What an audit found."""

    shares: int = 0
    jobs: int = 0
    header_seconds: float = 0.0
    """Of `seconds`, what hashes and difficulties took."""
    seconds: float = 0.0
    mismatches: Counter[Mismatch] = field(default_factory=Counter)

    @property
    def is_sound(self) -> bool:
        return not self.mismatches.total()


class Audit:
    """One audit. Its two callbacks are called as it goes; `on_finding` for every mismatch there is."""

    def __init__(
        self,
        address: ClickHouseAddress,
        scope: Scope,
        *,
        on_finding: Callable[[Finding], None],
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._connection = Connection(address, timeout_seconds=3600)
        self._scope = scope
        self._on_finding = on_finding
        self._on_progress = on_progress
        self._condition = audit_sql.WITHIN + (audit_sql.OF_WORKER if scope.worker is not None else "")
        self.result = AuditResult()

    async def run(self) -> AuditResult:
        """Raises what clickhouse-connect and aiohttp raise; `result` then holds what was found so far."""
        began = time.monotonic()
        try:
            client = await self._connection.client()
            planned = await self._planned(client)
            await self._headers(client, planned)
            self.result.header_seconds = time.monotonic() - began
            await self._jobs(client, planned)
            await self._repeats(client)
        finally:
            self.result.seconds = time.monotonic() - began
            await self._connection.close()
        return self.result

    async def _planned(self, client: AsyncClient) -> list[Stretch]:
        rows = await self._rows(client, audit_sql.plan(self._condition), self._whole())
        return stretches([(int(hour), int(count)) for hour, count in rows], self._scope.start, self._scope.end)

    async def _headers(self, client: AsyncClient, planned: Sequence[Stretch]) -> None:
        for stretch in self._told("headers", planned):
            bound = self._bound(stretch)
            ((rows, *counts),) = await self._rows(client, audit_sql.count_headers(self._condition), bound)
            self.result.shares += int(rows)
            for kind, count in zip(audit_sql.HEADER_CHECKS, counts, strict=True):
                if count:
                    await self._find(client, kind, audit_sql.find_headers(self._condition, kind), bound)

    async def _jobs(self, client: AsyncClient, planned: Sequence[Stretch]) -> None:
        ((self.result.jobs, forged),) = await self._rows(client, audit_sql.jobs(self._condition), self._whole())
        for job in sorted(forged):
            self._note(Finding(Mismatch.JOB_CONTENT, f"job {job}"))
        for stretch in self._told("jobs", planned):
            bound = self._bound(stretch)
            ((_, *counts),) = await self._rows(client, audit_sql.count_jobs(self._condition), bound)
            for kind, count in zip(audit_sql.JOB_CHECKS, counts, strict=True):
                if count:
                    await self._find(client, kind, audit_sql.find_jobs(self._condition, kind), bound)

    async def _repeats(self, client: AsyncClient) -> None:
        total = self.result.shares
        slices = total // _SLICE_ROWS + 1
        began = time.monotonic()
        for number in range(slices):
            self._on_progress(Progress("repeats", total * number // slices, total, time.monotonic() - began))
            bound = {**self._whole(), "slice": number, "slices": slices}
            ((count,),) = await self._rows(client, audit_sql.count_repeats(self._condition), bound)
            if count:
                await self._find(client, Mismatch.REPEATED_HEADER, audit_sql.find_repeats(self._condition), bound)
        self._on_progress(Progress("repeats", total, total, time.monotonic() - began))

    async def _find(self, client: AsyncClient, kind: Mismatch, sql: str, bound: Mapping[str, Any]) -> None:
        stream = await client.query_rows_stream(sql, parameters=dict(bound), settings=_SETTINGS)
        async with stream:
            async for segment, seq, ts_ms, worker, detail in stream:
                self._note(Finding(kind, detail, ShareId.parse(f"{segment}-{seq}"), ts_ms, worker))

    def _note(self, finding: Finding) -> None:
        self.result.mismatches[finding.kind] += 1
        self._on_finding(finding)

    def _told(self, step: str, planned: Sequence[Stretch]) -> Iterator[Stretch]:
        began, done, total = time.monotonic(), 0, sum(stretch.rows for stretch in planned)
        for stretch in planned:
            self._on_progress(Progress(step, done, total, time.monotonic() - began))
            yield stretch
            done += stretch.rows
        self._on_progress(Progress(step, total, total, time.monotonic() - began))

    def _whole(self) -> dict[str, Any]:
        return self._bound(Stretch(self._scope.start, self._scope.end, 0))

    def _bound(self, stretch: Stretch) -> dict[str, Any]:
        bound: dict[str, Any] = {"start": stretch.start * 1000, "end": stretch.end * 1000}
        return bound if self._scope.worker is None else {**bound, "worker": self._scope.worker}

    async def _rows(self, client: AsyncClient, sql: str, bound: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = (
            await client.query(sql, parameters=dict(bound), settings=_SETTINGS)
        ).result_rows
        return rows
