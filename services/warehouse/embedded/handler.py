from __future__ import annotations

import secrets
import sys
import uuid
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from aiohttp import web

from services.warehouse.embedded import allowed, backups
from services.warehouse.embedded.compression import Compressor, compressor, reply_coding
from services.warehouse.embedded.engine_error import READONLY, TOO_MANY_SIMULTANEOUS_QUERIES, EngineError
from services.warehouse.embedded.guard import Guard, Verdict, check_format, session_refusal
from services.warehouse.embedded.head import one_head
from services.warehouse.embedded.inserts import Inserts
from services.warehouse.embedded.lane import Lane
from services.warehouse.embedded.progress import Progress
from services.warehouse.embedded.readers import PIECE_BYTES, Reader, ReadPlaces
from services.warehouse.embedded.reply import JOINABLE, content_type, failure, failure_in_stream, summary
from services.warehouse.embedded.request import Request, read_request
from services.warehouse.embedded.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from services.warehouse.embedded.access import Access
    from services.warehouse.embedded.engine import Engine, Session
    from services.warehouse.embedded.options import EmbeddedOptions

# What a body may take in memory before it goes to a file: much while few requests are here, little when many are.
FEW, FEW_BODY_BYTES, MANY_BODY_BYTES = 8, 32 << 20, 1 << 18
# An answer so small is fetched whole in one go: each further wake-up of a thread would cost as much as a small query.
SMALL_BYTES = PIECE_BYTES


@dataclass(slots=True)
class Answer:
    """A statement that has begun to answer: headers, and the blocks that follow; or one small block, and it is over."""

    headers: dict[str, str]
    blocks: Iterator[bytes] = iter(())
    whole: bytes | None = None


class Handler:
    """Answers HTTP requests. Reads and inserts have lanes of their own, so that neither waits for the other."""

    def __init__(self, engine: Engine, access: Access, options: EmbeddedOptions) -> None:
        self._engine = engine
        self._access = access
        self._options = options
        self._guard = Guard(engine)
        self._timezone = engine.text("SELECT timezone()")
        self._reads = Lane(options.max_reads, "read")
        self._read_places = ReadPlaces(
            options.max_reads, stalled_seconds=options.stalled_seconds, patience_seconds=options.patience_seconds
        )
        self._sessions = Sessions(engine)
        self._inserts = Inserts(engine, self._guard, options.max_writes)
        self._present = 0

    def close(self) -> None:
        self._reads.close()
        self._inserts.close()
        self._sessions.close()

    async def ping(self, request: web.Request) -> web.Response:
        """Alive; asks for no password, as in ClickHouse."""
        if refusal := self._access.refuses_browser(request.headers):
            return web.Response(status=403, text=f"{refusal}\n")
        return web.Response(text="Ok.\n", content_type="text/html", charset="UTF-8")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request: admitted, read, judged, run, answered."""
        if refusal := self._access.refuses_browser(request.headers):
            return web.Response(status=403, text=f"{refusal}\n")
        headers = {"X-ClickHouse-Timezone": self._timezone, "X-ClickHouse-Query-Id": str(uuid.uuid4())}
        if self._present >= self._options.max_waiting:
            busy = "Too many simultaneous queries"
            return failure(EngineError.own(TOO_MANY_SIMULTANEOUS_QUERIES, busy), headers)
        try:
            progress = Progress(request, self._engine)
        except EngineError as error:
            return failure(error, headers)
        self._present += 1
        try:
            self._access.authenticate(request.headers, request.query)
            if request.method in ("GET", "HEAD") and "query" not in request.query:
                return await self.ping(request)
            async with self._sessions.hold(request.query) as session, self._inserts.one(headers) as inserting:
                asked = await read_request(
                    request,
                    self._engine.temporary,
                    memory_bytes=FEW_BODY_BYTES if self._present <= FEW else MANY_BODY_BYTES,
                    max_body_bytes=self._options.max_body_bytes,
                    session=session,
                    on_arriving=inserting.begin,
                )
                headers["X-ClickHouse-Query-Id"] = asked.query_id
                try:
                    if asked.data is None:
                        return await self._read(request, asked, headers, progress)
                    inserted = await progress.during(inserting.finish(asked), asked.tag)
                finally:
                    asked.close()
            return await progress.answer(inserted)
        except EngineError as error:
            return await progress.answer(failure(error, headers))
        finally:
            self._present -= 1

    def _begin(self, asked: Request, headers: dict[str, str], held: ExitStack) -> Answer:
        """Run the statement up to its first block, so that what fails early has a status of its own."""
        settings = dict(asked.settings)
        # A client's own readonly comes last: it may forbid to set anything after it.
        last = {"readonly": settings.pop("readonly")} if "readonly" in settings else {}
        read_only = asked.read_only or last.get("readonly", "0") != "0"
        session, verdict = self._open(asked, settings, held)
        if read_only:
            backups.refuse_read_only(verdict.kind)
        if session.outlives_request:
            last = {}  # it could not be taken back
            if read_only and not (verdict.of_session or verdict.kind in allowed.READS):
                raise EngineError.own(READONLY, "Cannot execute query in readonly mode")
        output_format = verdict.output_format or check_format(asked.default_format or "TabSeparated")
        headers["X-ClickHouse-Format"] = output_format
        headers["Content-Type"] = content_type(output_format)
        streams = verdict.is_select and output_format in JOINABLE
        if verdict.kind not in allowed.OF_SESSIONS:
            session.set(last if streams else {**self._bound_of_whole(settings), **last})
        if streams:
            headers["X-ClickHouse-Summary"] = summary()
            blocks = one_head(output_format, session.stream(verdict.sql, output_format, asked.params))
            held.callback(blocks.close)
            first = next(blocks, b"")
            if len(first) > SMALL_BYTES:
                return Answer(headers, chain((first,), blocks))
            if (second := next(blocks, None)) is not None:
                return Answer(headers, chain((first, second), blocks))
            held.close()
            return Answer(headers, whole=first)
        result = session.query(verdict.sql, output_format, asked.params)
        body: bytes = result.bytes()
        if not (body or verdict.is_select):
            del headers["X-ClickHouse-Format"]
        headers["X-ClickHouse-Summary"] = summary(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=len(body),
            elapsed_ns=int(result.elapsed() * 1e9),
        )
        if len(body) <= SMALL_BYTES:
            held.close()
            return Answer(headers, whole=body)
        return Answer(headers, iter((body,)))

    def _open(self, asked: Request, settings: dict[str, str], held: ExitStack) -> tuple[Session, Verdict]:
        """A session for one statement, or the one of the session_id where the statement needs that; and the verdict."""
        kept = asked.session
        if kept is not None and kept.handle is not None:
            with self._engine.session() as plain:
                verdict = self._guard.check(plain, asked.sql, asked.params)
        else:
            session = held.enter_context(
                self._engine.session(asked.database, settings, asked.params, read_only=asked.read_only, tag=asked.tag)
            )
            verdict = self._guard.check(session, asked.sql, asked.params)
            if not verdict.of_session:
                return session, verdict
            if kept is None:
                raise session_refusal(verdict.sql)
        if verdict.kind in allowed.OF_SESSIONS:
            return kept.open(), verdict  # what the URL says would be put back after it
        return held.enter_context(kept.lend(asked.database, settings, asked.params)), verdict

    def _bound_of_whole(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Settings that keep a result within what may be made whole in memory, or within less by the client's will."""
        chosen = settings.get("max_result_bytes", "0")
        limit = min(int(chosen) if chosen.isdigit() and int(chosen) else sys.maxsize, self._options.max_whole_bytes)
        return {"max_result_bytes": str(limit), "result_overflow_mode": "throw"}

    async def _read(
        self, request: web.Request, asked: Request, headers: dict[str, str], progress: Progress
    ) -> web.StreamResponse:
        # A client that has gone away ends them too: its statement is cancelled, its handle closed, its session free.
        async with self._read_places.place(request) as reader, AsyncExitStack() as statement:
            held = ExitStack()
            if asked.session is not None:
                statement.callback(asked.session.release)
            running = await statement.enter_async_context(AsyncExitStack())
            running.push_async_callback(self._reads.run, held.close)
            cancel = partial(self._engine.kill, asked.tag)
            begun = self._reads.run(partial(self._begin, asked, headers, held), cancel)
            answer = await progress.during(begun, asked.tag)
            if answer.whole is not None:
                running.pop_all()
            return await self._send(request, reader, answer, cancel, progress, statement)

    async def _send(
        self,
        request: web.Request,
        reader: Reader,
        answer: Answer,
        cancel: Callable[[], None],
        progress: Progress,
        statement: AsyncExitStack,
    ) -> web.StreamResponse:
        coding = ""
        if request.query.get("enable_http_compression") in ("1", "true"):
            coding = reply_coding(request.headers.get("Accept-Encoding", ""))
        encoder = compressor(coding) if coding else None
        if coding:
            answer.headers["Content-Encoding"] = coding
        tag = secrets.token_hex(8)
        answer.headers["X-ClickHouse-Exception-Tag"] = tag
        response = progress.response(answer.headers)
        await response.prepare(request)
        try:
            try:
                async for block in self._encoded(answer, encoder, cancel):
                    await reader.write(response, block)
            except EngineError as error:
                await statement.aclose()
                notice = failure_in_stream(error, tag)
                await reader.write(response, encoder.compress(notice) + encoder.flush() if encoder else notice)
                # Without its last chunk the body is visibly cut off, for clients that do not know the tag.
                if request.transport is not None:
                    request.transport.close()
                return response
            if encoder:
                await reader.write(response, encoder.flush())
            await statement.aclose()  # before the client knows that it is over, and asks in the same session again
            await reader.write_end(response)
        except TimeoutError:
            reader.drop(stalled=True)
        return response

    async def _encoded(
        self, answer: Answer, encoder: Compressor | None, cancel: Callable[[], None]
    ) -> AsyncIterator[bytes]:
        if answer.whole:
            yield encoder.compress(answer.whole) if encoder else answer.whole
        if answer.whole is None:
            while (block := await self._reads.run(partial(_next_block, answer.blocks, encoder), cancel)) is not None:
                yield block


def _next_block(blocks: Iterator[bytes], encoder: Compressor | None) -> bytes | None:
    block = next(blocks, None)
    return encoder.compress(block) if encoder and block else block
