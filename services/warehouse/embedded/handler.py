"""ClickHouse's HTTP interface over the engine."""

from __future__ import annotations

import asyncio
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from services.warehouse.embedded import guard
from services.warehouse.embedded.compression import compressor, reply_coding
from services.warehouse.embedded.engine_error import (
    AUTHENTICATION_FAILED,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
)
from services.warehouse.embedded.request import Request, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.warehouse.embedded.access import Access
    from services.warehouse.embedded.engine import Engine
    from services.warehouse.embedded.options import EmbeddedOptions

log = structlog.get_logger()

# Blocks of these can be joined as they are; any other format has a head or foot and is made whole.
JOINABLE = frozenset(
    "Native TabSeparated TSV TabSeparatedRaw TSVRaw CSV RowBinary JSONEachRow JSONLines NDJSON JSONCompactEachRow"
    " LineAsString RawBLOB".split()
)
CONTENT_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
}


class Handler:
    """Answers requests; owns the worker threads in which the engine's calls run."""

    def __init__(self, engine: Engine, access: Access, options: EmbeddedOptions) -> None:
        self._engine = engine
        self._access = access
        self._options = options
        self._timezone = engine.text("SELECT timezone()")
        self._readers = ThreadPoolExecutor(options.max_reads, "read")
        self._writers = ThreadPoolExecutor(options.max_writes, "write")
        self._reading = asyncio.Semaphore(options.max_reads)
        self._writing = asyncio.Semaphore(options.max_writes)
        self._waiting = 0

    def close(self) -> None:
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._writers.shutdown(wait=True, cancel_futures=True)

    async def ping(self, request: web.Request) -> web.Response:
        return web.Response(text="Ok.\n", content_type="text/html", charset="UTF-8")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request: checked, read, run, answered."""
        refusal = self._access.refuses_browser(request.headers)
        if refusal:
            return web.Response(status=403, text=f"{refusal}\n")
        try:
            self._access.authenticate(request.headers, request.query)
            if request.method == "GET" and "query" not in request.query:
                return await self.ping(request)
            if self._waiting >= self._options.max_waiting:
                raise EngineError.own(TOO_MANY_SIMULTANEOUS_QUERIES, "Too many simultaneous queries")
            self._waiting += 1
            try:
                asked = await read_request(request, self._engine.temporary, self._options.max_body_bytes)
                try:
                    return await self._run(request, asked)
                finally:
                    asked.close()
            finally:
                self._waiting -= 1
        except EngineError as error:
            return self._error(error)

    def _headers(self, asked: Request) -> dict[str, str]:
        return {"X-ClickHouse-Query-Id": asked.query_id, "X-ClickHouse-Timezone": self._timezone}

    def _error(self, error: EngineError) -> web.Response:
        headers = {"X-ClickHouse-Exception-Code": str(error.code)}
        if error.code == AUTHENTICATION_FAILED:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return web.Response(status=error.status, text=error.message + "\n", headers=headers)

    async def _run(self, request: web.Request, asked: Request) -> web.StreamResponse:
        if request.method == "GET":
            asked.settings.setdefault("readonly", "2")
        if asked.data is not None:
            async with self._writing:
                return await self._in(self._writers, self._insert, asked)
        async with self._reading:
            return await self._select(request, asked)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, function, *arguments):  # type: ignore[no-untyped-def]
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    def _summary(self, **facts: int) -> str:
        names = "read_rows read_bytes written_rows written_bytes total_rows_to_read result_rows result_bytes elapsed_ns"
        return json.dumps({name: str(facts.get(name, 0)) for name in names.split()}, separators=(",", ":"))

    def _insert(self, asked: Request) -> web.Response:
        assert asked.data is not None
        with self._engine.session(asked.database, asked.settings, asked.params) as session:
            guard.check(session, f"{asked.sql} FORMAT {asked.insert_format}")
            rows, size, seconds = session.insert(asked.sql, asked.insert_format, asked.data)
        summary = self._summary(
            read_rows=rows, read_bytes=size, written_rows=rows, written_bytes=size, elapsed_ns=int(seconds * 1e9)
        )
        return web.Response(headers={**self._headers(asked), "X-ClickHouse-Summary": summary})

    def _start(self, asked: Request, stack: ExitStack) -> tuple[Iterator[bytes], dict[str, str]]:
        """Run the statement up to its first block: what then comes, and the reply's headers."""
        session = stack.enter_context(self._engine.session(asked.database, asked.settings, asked.params))
        verdict = guard.check(session, asked.sql)
        output_format = verdict.output_format or asked.default_format or "TabSeparated"
        headers = self._headers(asked)
        headers["X-ClickHouse-Format"] = output_format
        headers["Content-Type"] = CONTENT_TYPES.get(output_format, "text/plain; charset=UTF-8")
        if verdict.kind in guard.STREAMED and output_format in JOINABLE:
            blocks = session.stream(asked.sql, output_format, asked.params)
            first = next(blocks, b"")
            headers["X-ClickHouse-Summary"] = self._summary()

            def chain() -> Iterator[bytes]:
                yield first
                yield from blocks

            stack.callback(blocks.close)  # type: ignore[attr-defined]
            return chain(), headers
        result = session.query(asked.sql, output_format, asked.params)
        body = result.bytes()
        headers["X-ClickHouse-Summary"] = self._summary(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=len(body),
            elapsed_ns=int(result.elapsed() * 1e9),
        )
        if not body and verdict.kind not in guard.STREAMED:
            del headers["X-ClickHouse-Format"]
        return iter((body,)), headers

    async def _select(self, request: web.Request, asked: Request) -> web.StreamResponse:
        stack = ExitStack()
        try:
            blocks, headers = await self._in(self._readers, self._start, asked, stack)
            tag = secrets.token_hex(8)
            headers["X-ClickHouse-Exception-Tag"] = tag
            coding = ""
            if request.query.get("enable_http_compression") == "1":
                coding = reply_coding(request.headers.get("Accept-Encoding", ""))
            if coding:
                headers["Content-Encoding"] = coding
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            encoder = compressor(coding) if coding else None

            def following() -> bytes | None:
                block = next(blocks, None)
                if block is None or encoder is None:
                    return block
                return encoder.compress(block)

            try:
                while (block := await self._in(self._readers, following)) is not None:
                    if block:
                        await response.write(block)
            except EngineError as error:
                text = error.message.encode()
                notice = b"__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n" % (
                    tag.encode(),
                    text,
                    len(text) + 1,
                    tag.encode(),
                )
                await response.write(encoder.compress(notice) + encoder.flush() if encoder else notice)
                if request.transport is not None:
                    request.transport.close()
                return response
            if encoder:
                await response.write(encoder.flush())
            await response.write_eof()
            return response
        finally:
            await asyncio.shield(self._in(self._readers, stack.close))
