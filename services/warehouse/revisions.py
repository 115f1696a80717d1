"""Wishes that every proxy read its configuration anew, and each process's answer: the way from the API to the proxies.

`requested` is ClickHouse's own time, and a reader asks by age, so no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from services.warehouse.bounds import read_bounds
from services.warehouse.client import Connection, answered_within, cancellation_kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from services.warehouse.address import ClickHouseAddress

_DEADLINE_SECONDS: Final = 4.0
_SETTINGS: Final = read_bounds(_DEADLINE_SECONDS)
_MOST_REVISIONS: Final = 1_000
_MOST_ANSWERS: Final = 10_000


class Revision(Struct, frozen=True):
    """A wish that every proxy read its configuration anew."""

    revision: str
    """UUID."""
    requested_by: str


class RevisionAnswer(Struct, frozen=True, kw_only=True):
    """What one process of a proxy made of a revision, as table `config_answers` keeps it."""

    revision: str
    answered_ms: int
    """Unix milliseconds."""
    proxy: str
    instance: str
    """UUID of the proxy's process."""
    applied: bool
    changed_pools: tuple[str, ...]
    error: str
    """Why it was refused; where it was applied, what of it waits for a restart."""


class Revisions:
    """Every method raises StoreUnavailable, within a few seconds, where ClickHouse cannot answer."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._connection = Connection(address, timeout_seconds=_DEADLINE_SECONDS)

    async def close(self) -> None:
        await self._connection.close()

    async def request(self, requested_by: str) -> Revision:
        """Tells every proxy to read its configuration anew."""
        revision = Revision(str(uuid4()), requested_by)
        bound = {"revision": revision.revision, "by": requested_by}
        async with _asked():
            client = await self._connection.client()
            await client.command(_REQUEST, parameters=bound, settings=dict(_SETTINGS))
        return revision

    async def younger_than(self, age_seconds: float) -> list[Revision]:
        """Revisions of the last so many seconds, the oldest first."""
        bound = {"age_ms": int(age_seconds * 1000), "most": _MOST_REVISIONS}
        return [Revision(*row) for row in await self._rows(_YOUNGER, bound)]

    async def answer(self, answer: RevisionAnswer) -> None:
        """Tells what a process made of a revision; told twice, the later one counts."""
        row: dict[str, Any] = msgspec.to_builtins(answer)
        answered = datetime.fromtimestamp(row.pop("answered_ms") / 1000, UTC)
        row["answered"] = answered.isoformat(" ", "milliseconds")[:23]
        async with _asked():
            client = await self._connection.client()
            await client.raw_insert(
                "config_answers",
                column_names=tuple(row),
                insert_block=msgspec.json.encode(row),
                fmt="JSONEachRow",
                settings={"async_insert": 0},
            )

    async def answers(self, revision: Revision) -> list[RevisionAnswer]:
        """What has been answered so far."""
        bound = {"revision": revision.revision, "most": _MOST_ANSWERS}
        return [
            RevisionAnswer(
                revision=revision.revision,
                proxy=proxy,
                instance=instance,
                answered_ms=answered_ms,
                applied=bool(applied),
                changed_pools=tuple(changed_pools),
                error=error,
            )
            for proxy, instance, answered_ms, applied, changed_pools, error in await self._rows(_ANSWERS, bound)
        ]

    async def _rows(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        async with _asked():
            client = await self._connection.client()
            result = await client.query(sql, parameters=parameters, settings=_SETTINGS)
            rows: Sequence[Sequence[Any]] = result.result_rows
            return rows


@asynccontextmanager
async def _asked() -> AsyncIterator[None]:
    """A block that ends in time, and whose failures are all told as one kind."""
    with answered_within(_DEADLINE_SECONDS):
        async with asyncio.timeout(_DEADLINE_SECONDS):
            with cancellation_kept():
                yield


_REQUEST: Final = """\
INSERT INTO config_revisions (revision, requested, requested_by)
SELECT {revision:UUID}, now64(3), {by:String}"""
_YOUNGER: Final = """\
SELECT toString(revision), requested_by
FROM config_revisions
WHERE requested >= now64(3) - toIntervalMillisecond({age_ms:Int64})
ORDER BY requested, revision
LIMIT {most:UInt32}"""
_ANSWERS: Final = """\
SELECT proxy, toString(instance), toUnixTimestamp64Milli(answered), applied, changed_pools, error
FROM config_answers FINAL
WHERE revision = {revision:UUID}
ORDER BY proxy, instance
LIMIT {most:UInt32}"""
