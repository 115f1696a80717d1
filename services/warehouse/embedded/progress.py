"""X-ClickHouse-Progress: header lines that tell how far a statement is, so that a connection is seen to live.

As in ClickHouse, `send_progress_in_http_headers=1` asks for them, one each `http_headers_progress_interval_ms`. The
first line comes after the status line, so an answer that fails later has status 200 too, and its error's code in
X-ClickHouse-Exception-Code.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from aiohttp import HttpVersion11, web

from services.warehouse.embedded.engine_error import BAD_ARGUMENTS, EngineError
from services.warehouse.embedded.reply import summary

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from services.warehouse.embedded.engine import Engine

T = TypeVar("T")

DEFAULT_INTERVAL_MS = 100
LEAST_INTERVAL_MS = 10
HEADER = "X-ClickHouse-Progress"


def asks_for_progress(query: Mapping[str, str]) -> bool:
    return query.get("send_progress_in_http_headers", "") in ("1", "true")


class Progress:
    """What one request is told meanwhile; nothing, where it did not ask."""

    def __init__(self, request: web.Request, engine: Engine) -> None:
        query = request.query
        self._request = request
        self._engine = engine
        self._interval_seconds = _interval_ms(query.get("http_headers_progress_interval_ms", "")) / 1000
        self.asked = asks_for_progress(query) and request.version >= HttpVersion11 and request.method != "HEAD"
        self._begun = False

    async def during(self, statement: Coroutine[None, None, T], tag: str) -> T:
        """What `statement` gives or raises; meanwhile, tell of the one whose session has this `tag`."""
        if not self.asked:
            return await statement
        running = asyncio.create_task(statement)
        try:
            while not (await asyncio.wait((running,), timeout=self._interval_seconds))[0]:
                facts = None
                with suppress(EngineError):  # it says nothing of the statement
                    facts = await asyncio.to_thread(self._engine.progress, tag)
                if facts is not None and not running.done():
                    self._tell(summary(**facts))
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.wait((running,))

    def response(self, headers: dict[str, str]) -> web.StreamResponse:
        """An answer to be prepared, which goes on where the lines of progress have ended."""
        return _Rest(headers=headers) if self._begun else web.StreamResponse(headers=headers)

    async def answer(self, response: web.Response) -> web.StreamResponse:
        """`response`, or the same after lines of progress."""
        if not self._begun:
            return response
        rest = self.response(dict(response.headers))
        await rest.prepare(self._request)
        await rest.write_eof(response.body if isinstance(response.body, bytes) else b"")
        return rest

    def _tell(self, facts: str) -> None:
        if self._request.transport is not None:
            status = "" if self._begun else "HTTP/1.1 200 OK\r\n"
            self._request.transport.write(f"{status}{HEADER}: {facts}\r\n".encode())
            self._begun = True


class _Rest(web.StreamResponse):
    """A response whose status line has been sent: its head begins with one of its headers."""

    async def _write_headers(self) -> None:
        assert self._payload_writer is not None
        name, value = self._headers.popitem()
        await self._payload_writer.write_headers(f"{name}: {value}", self._headers)


def _interval_ms(text: str) -> int:
    if not text:
        return DEFAULT_INTERVAL_MS
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise EngineError.own(BAD_ARGUMENTS, "http_headers_progress_interval_ms: a number of milliseconds")
    return max(int(text), LEAST_INTERVAL_MS)
