"""What one HTTP request asks for: statement, data, database, settings and parameters."""

from __future__ import annotations

import secrets
import tempfile
import uuid
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from services.warehouse.embedded.arriving import ArrivingRows
from services.warehouse.embedded.compression import Decoder
from services.warehouse.embedded.engine_error import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    QUERY_IS_TOO_LARGE,
    TOO_LARGE_STRING,
    EngineError,
)
from services.warehouse.embedded.progress import asks_for_progress
from services.warehouse.embedded.statement import UnfinishedStatementError, split_insert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp import web

    from services.warehouse.embedded.sessions import KeptSession

# ClickHouse's max_query_size: what a statement may take, data not counted.
MAX_STATEMENT_BYTES = 262_144

# Of the HTTP transport itself; everything else in the URL that is no parameter is a setting.
TRANSPORT = frozenset(
    "query database default_format user password query_id quota_key role buffer_size wait_end_of_query "
    "client_protocol_version enable_http_compression stacktrace session_id close_session session_timeout session_check "
    "http_write_exception_in_output_format send_progress_in_http_headers http_headers_progress_interval_ms "
    "cancel_http_readonly_queries_on_client_close".split()
)
NOT_SERVED = {
    "compress": "ClickHouse's own block compression (use Accept-Encoding and enable_http_compression=1)",
    "decompress": "ClickHouse's own block compression (use Content-Encoding)",
}


@dataclass(slots=True)
class Request:
    """`session` is what its session_id names, `tag` what Engine.kill and Engine.progress find its statement by."""

    sql: str = ""
    insert_format: str = ""
    data: ArrivingRows | None = None
    session: KeptSession | None = None
    tag: str = ""
    tells_progress: bool = False
    database: str = ""
    default_format: str = ""
    query_id: str = ""
    read_only: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)

    def close(self) -> None:
        if self.data is not None:
            self.data.close()


def _read_url(request: web.Request, asked: Request) -> None:
    asked.read_only = request.method in ("GET", "HEAD")
    asked.tells_progress = asks_for_progress(request.query)
    for name, value in request.query.items():
        if name in NOT_SERVED and value not in ("", "0"):
            raise EngineError.own(NOT_IMPLEMENTED, f"{name}: {NOT_SERVED[name]} is not served by the embedded server")
        if name.startswith("param_"):
            asked.params[name[6:]] = value
        elif name not in TRANSPORT and name not in NOT_SERVED:
            asked.settings[name] = value
    asked.database = request.query.get("database", "") or request.headers.get("X-ClickHouse-Database", "")
    asked.default_format = request.query.get("default_format", "") or request.headers.get("X-ClickHouse-Format", "")
    asked.query_id = request.query.get("query_id", "") or str(uuid.uuid4())
    if len(asked.query_id) > 256 or not asked.query_id.isprintable():
        raise EngineError.own(BAD_ARGUMENTS, "query_id: at most 256 printable characters")


async def _read_form(request: web.Request, asked: Request, limit: int) -> str:
    sql = ""
    total = 0
    async for part in await request.multipart():
        text = bytearray()
        while chunk := await part.read_chunk():  # type: ignore[union-attr]
            total += len(chunk)
            if total > limit:
                raise EngineError.own(QUERY_IS_TOO_LARGE, "The form is too large")
            text += chunk
        name = part.name or ""  # type: ignore[union-attr]
        if name == "query":
            sql = text.decode()
        elif name.startswith("param_"):
            asked.params[name[6:]] = text.decode()
        else:
            raise EngineError.own(NOT_IMPLEMENTED, "External tables are not served by the embedded server")
    return sql


def _decode(statement: bytes) -> str:
    try:
        return statement.decode()
    except UnicodeDecodeError:
        raise EngineError.own(BAD_ARGUMENTS, "The statement is not UTF-8") from None


async def read_request(
    request: web.Request,
    temporary: Path,
    *,
    memory_bytes: int,
    max_body_bytes: int,
    session: KeptSession | None,
    on_arriving: Callable[[Request], None] = lambda _: None,
) -> Request:
    """Read all of a request; an INSERT's data goes to a temporary file beyond `memory_bytes`. Raises EngineError.

    `on_arriving` is called with an INSERT that is known while most of a large body is still on its way.
    """
    asked = Request(session=session, tag=secrets.token_hex(8) if session is None else session.tag)
    _read_url(request, asked)
    prefix = request.query.get("query", "")
    if request.content_type == "multipart/form-data":
        form = await _read_form(request, asked, MAX_STATEMENT_BYTES * 4)
        asked.sql = f"{prefix}\n{form}" if prefix else form
        return asked
    head = bytearray(f"{prefix}\n".encode() if prefix else b"")
    rows: ArrivingRows | None = None
    decoder = Decoder(request.headers.get("Content-Encoding", ""))
    total = 0
    try:
        async for chunk in request.content.iter_any():
            for piece in decoder.feed(chunk):
                total += len(piece)
                if total > max_body_bytes:
                    raise EngineError.own(TOO_LARGE_STRING, f"The body is larger than {max_body_bytes} bytes")
                if rows is not None:
                    rows.write(piece)
                    continue
                head += piece
                if len(head) > MAX_STATEMENT_BYTES and (rows := _start_data(asked, head, temporary, memory_bytes)):
                    asked.data = rows
                    on_arriving(asked)
        decoder.finish()
        if rows is None:
            rows = asked.data = _start_data(asked, head, temporary, memory_bytes)
    except BaseException:
        if rows is not None:
            rows.close()
        raise
    if rows is not None:
        rows.end()
    return asked


def _start_data(asked: Request, head: bytearray, temporary: Path, memory_bytes: int) -> ArrivingRows | None:
    """Split `head`; for an INSERT, what its data begins with; otherwise the statement is the whole body."""
    text = bytes(head)
    try:
        insert = split_insert(text)
    except (UnfinishedStatementError, UnicodeDecodeError):
        insert = None
    if insert is None:
        if len(text) > MAX_STATEMENT_BYTES:
            raise EngineError.own(QUERY_IS_TOO_LARGE, f"The statement is larger than {MAX_STATEMENT_BYTES} bytes")
        asked.sql = _decode(text)
        return None
    asked.sql = insert.sql
    asked.insert_format = insert.format
    spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=memory_bytes, dir=str(temporary))
    spool.write(text[insert.data_start :])
    return ArrivingRows(spool)
