"""Headers and bodies of replies, as ClickHouse writes them."""

from __future__ import annotations

import json

from aiohttp import web

from services.warehouse.embedded.engine_error import AUTHENTICATION_FAILED, EngineError
from services.warehouse.embedded.head import HEADS

# Blocks of these can be joined as they are, or without their heads; any other result is made whole.
JOINABLE = frozenset(HEADS) | frozenset(
    "Native TabSeparated TSV TabSeparatedRaw TSVRaw CSV RowBinary JSONEachRow JSONLines NDJSON JSONCompactEachRow "
    "JSONStringsEachRow JSONCompactStringsEachRow TSKV LineAsString RawBLOB".split()
)

TAB_SEPARATED = "text/tab-separated-values; charset=UTF-8"
CONTENT_TYPES = {
    "TabSeparated": TAB_SEPARATED,
    "TabSeparatedWithNames": TAB_SEPARATED,
    "TabSeparatedWithNamesAndTypes": TAB_SEPARATED,
    "TSV": TAB_SEPARATED,
    "TSVWithNames": TAB_SEPARATED,
    "TSVWithNamesAndTypes": TAB_SEPARATED,
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8; header=present",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONStrings": "application/json; charset=UTF-8",
    "JSONColumns": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "RowBinaryWithNames": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
}

SUMMARY = (
    "read_rows",
    "read_bytes",
    "written_rows",
    "written_bytes",
    "total_rows_to_read",
    "result_rows",
    "result_bytes",
    "elapsed_ns",
)


def summary(**facts: int) -> str:
    """The value of X-ClickHouse-Summary."""
    return json.dumps({name: str(facts.get(name, 0)) for name in SUMMARY}, separators=(",", ":"))


def content_type(output_format: str) -> str:
    return CONTENT_TYPES.get(output_format, "text/plain; charset=UTF-8")


def failure(error: EngineError, headers: dict[str, str]) -> web.Response:
    """ClickHouse's own status, code and message."""
    headers = {**headers, "X-ClickHouse-Exception-Code": str(error.code)}
    if error.code == AUTHENTICATION_FAILED:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return web.Response(status=error.status, text=error.message + "\n", headers=headers)


def failure_in_stream(error: EngineError, tag: str) -> bytes:
    """What ends a body whose statement failed after its first block (ClickHouse 25.11 and later)."""
    text = error.message.encode() + b"\n"
    mark = tag.encode()
    return b"__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (mark, text, len(text), mark)
