"""INSERTs with data: in lanes of their own, and a large one while its rows are still on their way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from services.warehouse.embedded.arriving import StalledError
from services.warehouse.embedded.engine_error import READONLY, EngineError
from services.warehouse.embedded.guard import Guard, check_format
from services.warehouse.embedded.insert import SETTINGS, insert
from services.warehouse.embedded.lane import Lane
from services.warehouse.embedded.reply import summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    from services.warehouse.embedded.engine import Engine, Session
    from services.warehouse.embedded.request import Request


class Inserting:
    """One request that may turn out to be an INSERT, from before its body is there."""

    def __init__(self, inserts: Inserts, headers: dict[str, str]) -> None:
        self._inserts = inserts
        self._headers = headers
        self._early: asyncio.Task[web.Response] | None = None

    def begin(self, asked: Request) -> None:
        """Most of a large body is still to come: start to stage its rows, where nobody else needs the place."""
        if self._inserts.may_begin_early():
            self._early = asyncio.create_task(self._inserts.run(asked, self._headers))

    async def finish(self, asked: Request) -> web.Response:
        """Insert what has come, and answer; raises EngineError."""
        if self._early is not None:
            try:
                return await self._early
            except StalledError:
                assert asked.data is not None
                asked.data.rewind()
        return await self._inserts.run(asked, self._headers)

    async def end(self) -> None:
        """Leave nothing running."""
        if self._early is not None:
            if not self._early.done():
                self._early.cancel()
                await asyncio.wait((self._early,))
            if not self._early.cancelled():
                self._early.exception()  # asked for, lest it be told as forgotten
            self._inserts.early = False


class Inserts:
    """So many run at once; whoever finds no place waits in order."""

    def __init__(self, engine: Engine, guard: Guard, places: int) -> None:
        self._engine = engine
        self._guard = guard
        self._lane = Lane(places, "write")
        self._place = asyncio.Semaphore(places)
        self._spare = places > 1
        self.early = False

    def close(self) -> None:
        self._lane.close()

    def may_begin_early(self) -> bool:
        """One at a time: rows that trickle in keep one place of several."""
        may = self._spare and not self.early and not self._place.locked()
        self.early = self.early or may
        return may

    @asynccontextmanager
    async def one(self, headers: dict[str, str]) -> AsyncIterator[Inserting]:
        """For one request."""
        inserting = Inserting(self, headers)
        try:
            yield inserting
        finally:
            await inserting.end()

    async def run(self, asked: Request, headers: dict[str, str]) -> web.Response:
        """Insert the rows of `asked`, all that come of them; raises EngineError, and StalledError where they do not."""
        assert asked.data is not None
        async with self._place:
            return await self._lane.run(partial(self._insert, asked, headers), asked.data.stop)

    def _session(self, asked: Request, settings: dict[str, str]) -> AbstractContextManager[Session]:
        if asked.session is None or asked.session.handle is None:
            return self._engine.session(
                asked.database,
                settings,
                asked.params,
                read_only=asked.read_only,
                tag=asked.tag if asked.tells_progress else "",
            )
        if asked.read_only or settings.pop("readonly", "0") != "0":
            raise EngineError.own(READONLY, "Cannot execute query in readonly mode")
        return asked.session.lend(asked.database, settings, asked.params)

    def _insert(self, asked: Request, headers: dict[str, str]) -> web.Response:
        assert asked.data is not None
        named_format = f" FORMAT {check_format(asked.insert_format)}"
        with self._session(asked, {**asked.settings, **SETTINGS}) as session:
            head = self._guard.check(session, asked.sql + named_format, asked.params).sql
            written = insert(session, head.removesuffix(named_format), asked.insert_format, asked.data)
        headers["X-ClickHouse-Summary"] = summary(
            read_rows=written.rows,
            read_bytes=written.size_bytes,
            written_rows=written.rows,
            written_bytes=written.size_bytes,
            result_rows=written.rows,
            result_bytes=written.size_bytes,
            elapsed_ns=int(written.seconds * 1e9),
        )
        return web.Response(headers=headers)
