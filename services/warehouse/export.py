"""The shares of a period as Parquet files, and the jobs that prove them.

ClickHouse writes each file; it comes over HTTP in pieces and is handed on as they come, so memory is bounded on both
sides: a file holds so few rows that the embedded server can make it whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from services.warehouse import export_sql
from services.warehouse.client import Connection
from services.warehouse.stretches import Stretch, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.audit import Scope

MOST_ROWS: Final = 200_000
_MOST_JOBS: Final = 20_000
# Rows are counted in steps of so many seconds; in a step that holds too many, in steps of the next size.
_STEPS_SECONDS: Final = (600, 60, 1)
_SETTINGS: Final = {"priority": 10, "output_format_parquet_compression_method": "zstd"}
_MAGIC: Final = b"PAR1"
"""What a Parquet file begins and ends with."""


class ExportError(Exception):
    """A file that ClickHouse did not finish."""


class Target(Protocol):
    """Where files go. Both may raise what they like; a file that was not closed must not stay."""

    def open(self, name: str) -> TargetFile:
        """A new file."""


class TargetFile(Protocol):
    """A file that is being written."""

    def write(self, piece: bytes, /) -> None:
        """Append."""

    def close(self) -> None:
        """It is whole: make it stay. Blocks."""

    def discard(self) -> None:
        """It is not: remove it."""


@dataclass(frozen=True, slots=True)
class ExportState:
    """How far an export is."""

    rows: int
    total_rows: int
    files: int
    bytes: int
    jobs: int


class Export:
    """One export of the shares in `scope`. `on_state` is told after each file."""

    def __init__(
        self, address: ClickHouseAddress, scope: Scope, target: Target, on_state: Callable[[ExportState], None]
    ) -> None:
        self._connection = Connection(address, timeout_seconds=3600)
        self._scope = scope
        self._target = target
        self._on_state = on_state
        self._which = export_sql.condition(of_worker=scope.worker is not None)
        self._rows = self._total = self._files = self._bytes = self._jobs = 0

    async def run(self) -> ExportState:
        """Raises ExportError, what clickhouse-connect and aiohttp raise, and what the target raises."""
        try:
            client = await self._connection.client()
            planned = await self._cut(client, self._scope.start, self._scope.end, _STEPS_SECONDS)
            self._total = sum(stretch.rows for stretch in planned)
            for stretch in planned:
                name = f"shares-{_time(stretch.start)}-{_time(stretch.end)}.parquet"
                await self._file(client, name, export_sql.shares(self._which), self._bound(stretch.start, stretch.end))
                self._rows += stretch.rows
                self._on_state(self._state())
            await self._write_jobs(client)
        finally:
            await self._connection.close()
        return self._state()

    async def _write_jobs(self, client: AsyncClient) -> None:
        whole = self._bound(self._scope.start, self._scope.end)
        ((count,),) = await self._query(client, export_sql.jobs_count(self._which), whole)
        slices = -(-int(count) // _MOST_JOBS)
        for number in range(slices):
            bound = {**whole, "slice": number, "slices": slices}
            await self._file(client, f"jobs-{number + 1:04}.parquet", export_sql.jobs(self._which), bound)
        self._jobs = int(count)
        self._on_state(self._state())

    async def _cut(self, client: AsyncClient, start: int, end: int, steps: Sequence[int]) -> list[Stretch]:
        bound = {**self._bound(start, end), "step": steps[0]}
        rows = await self._query(client, export_sql.counts(self._which), bound)
        counts = [(int(first), int(count)) for first, count in rows]
        found: list[Stretch] = []
        for stretch in stretches(counts, start, end, most_rows=MOST_ROWS, step_seconds=steps[0]):
            if stretch.rows > MOST_ROWS and len(steps) > 1:
                found += await self._cut(client, stretch.start, stretch.end, steps[1:])
            else:
                found.append(stretch)
        return found

    async def _file(self, client: AsyncClient, name: str, sql: str, bound: Mapping[str, Any]) -> None:
        file = self._target.open(name)
        last = b""
        try:
            stream = await client.raw_stream(sql, parameters=dict(bound), settings=_SETTINGS, fmt="Parquet")
            async with stream:
                async for piece in stream:
                    file.write(piece)
                    last = (last + piece)[-len(_MAGIC) :]
                    self._bytes += len(piece)
            # What fails after the first piece is told in the body.
            if last != _MAGIC:
                raise ExportError(f"{name}: ClickHouse did not finish it")
        except BaseException:
            file.discard()
            raise
        file.close()
        self._files += 1

    def _bound(self, start: int, end: int) -> dict[str, Any]:
        bound: dict[str, Any] = {"start": start * 1000, "end": end * 1000}
        return bound if self._scope.worker is None else {**bound, "worker": self._scope.worker}

    def _state(self) -> ExportState:
        return ExportState(self._rows, self._total, self._files, self._bytes, self._jobs)

    async def _query(self, client: AsyncClient, sql: str, bound: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = (await client.query(sql, parameters=dict(bound))).result_rows
        return rows


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%SZ}"
