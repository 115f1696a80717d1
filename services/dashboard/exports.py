"""Exports of shares: a file that streams to the browser, and how far it is, for the page that asked for it."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from services.dashboard.pages import NOT_STORED
from services.dashboard.share_form import asked_form
from services.dashboard.trouble import GoneError, trouble, while_present
from services.warehouse.client import StoreUnavailable
from services.warehouse.parquet_parts import ParquetError
from services.warehouse.share_export import ExportFormat, ShareExport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from services.dashboard.options import DashboardOptions
    from services.warehouse.share_query import ShareQuery

log = structlog.get_logger()

MOST_AT_ONCE: Final = 3
_REMEMBERED: Final = 100
_PIECE_BYTES: Final = 1 << 18
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_TYPES: Final = {"csv": "text/csv; charset=utf-8", "json": "application/json", "parquet": "application/octet-stream"}


@dataclass(slots=True)
class Progress:
    """How far an export is; `rows_total` is known once they have been counted."""

    rows_total: int | None = None
    rows_done: int = 0
    bytes_sent: int = 0
    state: Literal["counting", "running", "done", "failed", "cancelled"] = "counting"
    reason: str = ""
    began: float = field(default_factory=time.time)


class ExportDesk:
    """The exports of one dashboard: at most MOST_AT_ONCE at a time, and how the last ones went."""

    def __init__(self, options: DashboardOptions) -> None:
        self._options = options
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._running = 0

    @property
    def full(self) -> bool:
        return self._running >= MOST_AT_ONCE

    def progress(self, export_id: str) -> Progress | None:
        """Of the export that was asked for under this id."""
        return self._progress.get(export_id)

    async def begin(self, request: Request, query: ShareQuery, form: ExportFormat, export_id: str) -> Response:
        """The answer that streams the file. Raises StoreUnavailable and GoneError before it begins."""
        progress = Progress()
        if export_id:
            self._progress[export_id] = progress
            while len(self._progress) > _REMEMBERED:
                self._progress.popitem(last=False)
        export = ShareExport(self._options.clickhouse, query, form)
        self._running += 1
        try:
            progress.rows_total = await while_present(request, export.count())
        except BaseException as error:
            self._running -= 1
            progress.state, progress.reason = "failed", self._reason(error)
            await export.close()
            raise
        progress.state = "running"
        headers = {
            **NOT_STORED,
            "Content-Disposition": f'attachment; filename="{_file_name(query, form)}"',
            # It must not be compressed on the way: that would hold up everybody else's pages.
            "Content-Encoding": "identity",
            "X-Rows": str(progress.rows_total),
        }
        return Download(self._blocks(export, progress), partial(self._end, progress), headers, _TYPES[form])

    async def _blocks(self, export: ShareExport, progress: Progress) -> AsyncGenerator[bytes, None]:
        try:
            async for block in export.blocks():
                for start in range(0, len(block), _PIECE_BYTES):
                    piece = block[start : start + _PIECE_BYTES]
                    yield piece
                    progress.bytes_sent += len(piece)
                progress.rows_done = export.rows_done
        except (StoreUnavailable, ParquetError) as error:
            progress.state, progress.reason = "failed", self._reason(error)
            log.warning("export_failed", reason=str(error), rows_done=progress.rows_done)
            # The connection is cut then, so that no browser takes what there is for the whole.
            raise ExportCutError from error
        progress.rows_done = progress.rows_total or 0
        progress.state = "done"

    def _end(self, progress: Progress) -> None:
        self._running -= 1
        if progress.state == "running":  # its reader has left
            progress.state, progress.reason = "cancelled", "The download was stopped."

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, StoreUnavailable):
            return trouble(error, self._options.clickhouse).sentence
        return "The export was stopped."


class ExportCutError(Exception):
    """An export that ends before its end."""


class Download(StreamingResponse):
    """A stream that frees its place at the desk whichever way it ends."""

    def __init__(
        self, blocks: AsyncGenerator[bytes, None], ended: Callable[[], None], headers: dict[str, str], media_type: str
    ) -> None:
        super().__init__(blocks, headers=headers, media_type=media_type)
        self._blocks = blocks
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._blocks.aclose()
            self._ended()


def router(options: DashboardOptions) -> APIRouter:
    """`/analytics/export/FORMAT`, and `/api/exports/ID` for how far one is."""
    routes = APIRouter()
    desk = ExportDesk(options)

    @routes.get("/analytics/export/{form}")
    async def export(request: Request, form: str) -> Response:
        asked = asked_form(request.query_params, int(time.time()))
        export_id = request.query_params.get("id", "")
        if form not in get_args(ExportFormat):
            return _refusal(
                f"There is no format {form[:20]!r}: choose one of {', '.join(get_args(ExportFormat))}.", 404
            )
        if asked.query is None:
            return _refusal(asked.mistake, 400)
        if export_id and (not _ID.fullmatch(export_id) or desk.progress(export_id)):
            return _refusal("This export has begun already, or its id is not of letters and digits.", 400)
        if desk.full:
            return _refusal(f"{MOST_AT_ONCE} exports run already: begin again once one of them has ended.", 503)
        chosen: ExportFormat = form  # type: ignore[assignment]
        try:
            return await desk.begin(request, asked.query, chosen, export_id)
        except GoneError:
            return PlainTextResponse("", 499)
        except StoreUnavailable as error:
            said = trouble(error, options.clickhouse)
            return _refusal(f"{said.sentence} {said.advice}", 503)

    @routes.get("/api/exports/{export_id}")
    async def progress(export_id: str) -> Response:
        found = desk.progress(export_id)
        if found is None:
            # It may be on its way, so this is no mistake.
            return Response(msgspec.json.encode({"state": "unknown"}), 200, NOT_STORED, "application/json")
        return Response(msgspec.json.encode(found), 200, NOT_STORED, "application/json")

    return routes


def _refusal(text: str, status: int) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, headers=NOT_STORED)


def _file_name(query: ShareQuery, form: ExportFormat) -> str:
    start, end = (datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ") for at in (query.start, query.end))
    return f"shares-{start}-{end}.{form}"
