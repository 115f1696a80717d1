"""Ships spooled rows to ClickHouse, batch by batch, until it has them; then the spool forgets them.

A round ships a segment's jobs before the shares that were committed with or after them. There is one insert in flight
per segment, while the batch after it is read, and at most one round a second unless a backlog has gathered. What fails
is tried again with the same bytes under the same token after a growing pause; rows that ClickHouse will never take are
set aside in files, and the rest of their batch goes on.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.warehouse.client import cancellation_kept
from services.warehouse.delivery import PoisonError, deliver, seen_before
from services.warehouse.migrate import apply_migrations
from services.warehouse.rowbinary import Stream
from services.warehouse.running_inserts import UnsettledError, UsedUpError
from services.warehouse.segment import Segment, SegmentClosedError
from services.warehouse.segment_files import segment_paths
from services.warehouse.setaside import set_aside
from services.warehouse.shards import Shards
from services.warehouse.sieve import whole

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.segment import Ahead, Batch
    from services.warehouse.spool import Spool

log = structlog.get_logger()

EXAMINE_AFTER_SECONDS: Final = 60.0
"""A segment of which nothing could be shipped for so long is asked about first: has somebody shipped a copy of it?"""
RENEW_AFTER_SECONDS: Final = 600.0
"""So long a batch whose tokens are used up waits for others: shares that ClickHouse has, and does not show yet, would
be stored once more under each.
"""
ROUND_SECONDS: Final = 1.0
ROUND_BATCHES: Final = 16
"""What one round ships at most of a stream: then it is the others' turn."""
BACKLOG_ROWS: Final = 10_000
INSERT_TIMEOUT_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 0.1
_LEFTOVERS_EVERY_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LAST_ATTEMPT_SECONDS: Final = 1.0
_TRANSIENT = (ClickHouseError, aiohttp.ClientError, OSError, TimeoutError, sqlite3.Error, UnsettledError)


class Shipper:
    """Ships `spool`'s segment, if one is given, and whatever dead processes have left in `folder`.

    Creates ClickHouse's schema where it is missing. Public attributes are for metrics.
    """

    def __init__(self, folder: Path, spool: Spool | None, address: ClickHouseAddress) -> None:
        self.shipped_rows = 0
        self.shipped_batches = 0
        self.failures = 0
        self.set_aside_batches = 0
        self.set_aside_rows = 0
        self.leftover_segments = 0
        """Segments of dead processes that this shipper holds and has not emptied yet."""
        self.last_error = ""
        """Empty while all goes well."""
        self.left_rows = 0
        """What the last drain could not ship; it stays on disk."""
        self._folder = folder
        self._spool = spool
        self._address = address
        self._shards = Shards(address, timeout_seconds=INSERT_TIMEOUT_SECONDS)
        self._schema_ready = False
        self._claimed: dict[Path, Segment] = {}
        self._delivered: set[str] = set()
        self._doubted: set[UUID] = set()
        self._last_taken: dict[UUID, float] = {}
        self._used_up: dict[UUID, float] = {}
        self._unreadable: set[Path] = set()
        self._own = asyncio.Lock()
        self._leftovers = asyncio.Lock()
        self._running = False

    async def run(self) -> None:
        """Ships until it is cancelled."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ship_own())
                tasks.create_task(self._ship_leftovers())
        finally:
            self._running = False
            await self._close()

    async def drain(self, deadline_seconds: float) -> bool:
        """Ships until nothing is left, or the deadline has passed; True if nothing is left. Before or after close().

        With ClickHouse away already there is one attempt, of a second at most. `left_rows` tells what stays.
        """
        emptied = False
        was_away = bool(self.last_error)
        try:
            async with asyncio.timeout(min(deadline_seconds, _LAST_ATTEMPT_SECONDS) if was_away else deadline_seconds):
                while not emptied:
                    failures = self.failures
                    own_left = 0
                    try:
                        own_left = await self._own_round()
                    except Exception as error:
                        self._failed(error)
                    await self._leftover_rounds()
                    emptied = not own_left and not self._claimed and self.failures == failures
                    if self.failures != failures:
                        if was_away:
                            break
                        await asyncio.sleep(_FIRST_PAUSE_SECONDS)
        except TimeoutError:
            pass
        self.left_rows = sum(segment.backlog.rows for segment in self._claimed.values())
        if self._spool is not None and not self._spool.held.is_closed:
            self.left_rows += self._spool.held.backlog.rows
        if not self._running:
            await self._close()
        return emptied

    async def _ship_own(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if self._spool is None or self._spool.held.backlog.rows == 0:
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            started = time.monotonic()
            try:
                left = await self._own_round()
                pause = _FIRST_PAUSE_SECONDS
                rest = 0.0 if left >= BACKLOG_ROWS else ROUND_SECONDS - (time.monotonic() - started)
            except Exception as error:
                self._failed(error)
                rest = pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(max(0.0, rest))

    async def _ship_leftovers(self) -> None:
        while True:
            failures = self.failures
            await self._leftover_rounds()
            more = self._claimed and self.failures == failures
            await asyncio.sleep(0 if more else _LEFTOVERS_EVERY_SECONDS)

    async def _own_round(self) -> int:
        """Rows that are left in the spool's own segment after one round."""
        if self._spool is None:
            return 0
        segment = self._spool.held
        async with self._own:
            try:
                await self._round(segment)
            except SegmentClosedError:
                return 0  # it is a left-over now
        return segment.backlog.rows

    async def _leftover_rounds(self) -> None:
        """One round for each left-over; `_claimed` holds what is not empty then. One that fails holds up no other."""
        async with self._leftovers:
            for path in await asyncio.to_thread(segment_paths, self._folder):
                if self._spool is not None and path == self._spool.held.path and not self._spool.held.is_closed:
                    continue
                try:
                    await self._leftover_round(path)
                except Exception as error:
                    self._failed(error)
            self.leftover_segments = len(self._claimed)

    async def _leftover_round(self, path: Path) -> None:
        segment = self._claimed.get(path) or await self._claim(path)
        if segment is None:
            return
        if segment.backlog.rows:
            await self._round(segment)
        if segment.backlog.rows == 0:
            del self._claimed[path]
            self._doubted.discard(segment.id)
            self._last_taken.pop(segment.id, None)
            self._used_up.pop(segment.id, None)
            await asyncio.to_thread(segment.release)

    async def _claim(self, path: Path) -> Segment | None:
        claiming = asyncio.create_task(asyncio.to_thread(self._claim_in_thread, path))
        try:
            segment = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The thread goes on; a segment that it claims for nobody could be shipped by nobody.
            await asyncio.wait({claiming})
            raise
        except (OSError, sqlite3.Error) as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                log.error("spool_segment_unreadable", path=str(path), error=str(error))
            return None
        if segment is not None and segment.backlog.rows:
            log.info("spool_segment_claimed", segment=str(segment.id), rows=segment.backlog.rows)
        return segment

    def _claim_in_thread(self, path: Path) -> Segment | None:
        segment = Segment.claim(path)
        if segment is not None:
            self._claimed[path] = segment
        return segment

    async def _round(self, segment: Segment) -> None:
        up_to = segment.last_commit
        while batch := await asyncio.to_thread(segment.next_batch, Stream.JOBS, up_to):
            await self._deliver(segment, batch)
            await self._forget(segment, batch)
        for stream in Stream:
            if stream is Stream.JOBS:
                continue
            if batch := await asyncio.to_thread(segment.next_batch, stream, up_to):
                await self._ship(segment, batch, up_to)

    async def _ship(self, segment: Segment, batch: Batch, up_to: int) -> None:
        """A batch and, of a backlog, those that follow it: each is read while ClickHouse takes the one before."""
        body: bytes | None = None
        for left in reversed(range(ROUND_BATCHES)):
            reading = None
            # Little is left for the next round: few large batches, not many small ones.
            if left and segment.backlog.rows >= batch.rows + BACKLOG_ROWS:
                reading = asyncio.create_task(asyncio.to_thread(segment.read_ahead, batch, up_to))
                # Whether it went well, nobody may ask.
                reading.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            try:
                await self._deliver(segment, batch, body)
                ahead = await reading if reading else None
            finally:
                if reading:
                    reading.cancel()
            following = await self._forget(segment, batch, ahead)
            if ahead is None or following is None:
                return
            batch, body = following, ahead.body

    async def _deliver(self, segment: Segment, batch: Batch, body: bytes | None = None) -> None:
        if batch.token in self._delivered:
            return
        if body is None:
            body = await asyncio.to_thread(segment.body, batch)
        try:
            await self._attempt(segment, batch, body)
        except UsedUpError:
            await self._renew(segment, batch)
            raise
        self._used_up.pop(segment.id, None)
        if batch.stream is Stream.SHARES:
            self._last_taken[segment.id] = time.monotonic()
        if self.last_error:
            log.info("shipping_again", after_failures=self.failures)
            self.last_error = ""
        self._delivered.add(batch.token)

    async def _attempt(self, segment: Segment, batch: Batch, body: bytes) -> None:
        try:
            async with asyncio.timeout(INSERT_TIMEOUT_SECONDS):
                with cancellation_kept():
                    await self._prepare_schema()
                    client = await self._shards.client(batch.segment)
                    await self._examine(client, batch)
                    await deliver(client, batch, body, doubted=segment.id in self._doubted)
            self.shipped_batches += 1
            self.shipped_rows += batch.rows
        except PoisonError:
            await self._sift(segment, batch)
        except Exception:
            await self._shards.failed()
            raise

    async def _renew(self, segment: Segment, batch: Batch) -> None:
        now = time.monotonic()
        if segment.id not in self._used_up:
            log.error("batch_tokens_used_up", segment=str(segment.id), batch=batch.number, waits=RENEW_AFTER_SECONDS)
        if now - self._used_up.setdefault(segment.id, now) >= RENEW_AFTER_SECONDS:
            await asyncio.to_thread(segment.renew, batch)
            del self._used_up[segment.id]

    async def _forget(self, segment: Segment, batch: Batch, ahead: Ahead | None = None) -> Batch | None:
        # If the disk fails here, the next round only forgets.
        following = await asyncio.to_thread(segment.forget, batch, ahead)
        self._delivered.discard(batch.token)
        return following

    async def _examine(self, client: AsyncClient, batch: Batch) -> None:
        """Notes whether rows of the batch's segment may be in ClickHouse already: asked first, and after a while."""
        if batch.stream is not Stream.SHARES or batch.segment in self._doubted:
            return
        if time.monotonic() - self._last_taken.get(batch.segment, -EXAMINE_AFTER_SECONDS) < EXAMINE_AFTER_SECONDS:
            return
        if await seen_before(client, batch):
            self._doubted.add(batch.segment)

    async def _sift(self, segment: Segment, batch: Batch) -> None:
        """Ships in parts a batch that ClickHouse refuses, down to single rows; sets aside what is refused then."""
        client = await self._shards.client(batch.segment)
        left = [whole(batch, await asyncio.to_thread(segment.records, batch))]
        while left:
            part = left.pop()
            try:
                async with asyncio.timeout(INSERT_TIMEOUT_SECONDS):
                    with cancellation_kept():
                        # What refused it may have been a roll-up, with the shares stored already.
                        await deliver(client, part.batch, part.body, doubted=True)
                self.shipped_batches += 1
                self.shipped_rows += part.batch.rows
            except PoisonError as error:
                if halves := part.halves():
                    left += halves
                    continue
                kept = await asyncio.to_thread(set_aside, self._folder, part.batch, part.body, str(error))
                self.set_aside_batches += 1
                self.set_aside_rows += part.batch.rows
                log.error("rows_set_aside", file=str(kept), rows=part.batch.rows, code=error.code, error=str(error))

    async def _prepare_schema(self) -> None:
        if not self._schema_ready:
            await apply_migrations(self._address)
            self._schema_ready = True

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._schema_ready = False
        text = f"{type(error).__name__}: {error}"
        if not isinstance(error, _TRANSIENT):
            # Not foreseen; even so, what is spooled must be tried again.
            log.error("shipping_failed", error=text, exc_info=error)
        elif text != self.last_error:
            log.warning("shipping_failed", error=text)
        self.last_error = text

    async def _close(self) -> None:
        for segment in self._claimed.values():
            await asyncio.to_thread(segment.release)
        self._claimed.clear()
        await self._shards.close()
