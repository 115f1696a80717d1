"""An INSERT with data, of which the client is told the truth.

The engine's stream of rows into a table tells what is wrong with the rows, but not that the table cannot take them:
what a full disk refuses at the end of the stream is lost, and the stream ends as if all were well (engine 26.9). So the
rows are streamed into a table of the session's own, in memory, counted there, and go on by INSERT SELECT, whose errors
are told; in one thread, so that they keep their order, and are one block where they fit into one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.embedded.engine import Written, quote_identifier
from services.warehouse.embedded.engine_error import UNKNOWN_EXCEPTION, EngineError
from services.warehouse.embedded.statement import tokens

if TYPE_CHECKING:
    from services.warehouse.embedded.engine import Rows, Session

_STAGED: Final = "`rows on their way`"
SETTINGS: Final = {
    "async_insert": "0",
    "max_threads": "1",
    "max_insert_threads": "1",
    # A repeat is known by its content too, as in an INSERT with data.
    "deduplicate_insert_select": "enable_even_for_bad_queries",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What an INSERT names: the table, the columns ('' for all that can be inserted), its SETTINGS clause, or ''."""

    table: str
    columns: str = ""
    settings: str = ""

    @classmethod
    def of(cls, head: str) -> Target:
        """Of an INSERT in canonical form, without its FORMAT."""
        text = head.encode()
        begin = text.index(b"INTO ") + len(b"INTO ")
        opened = closed = -1
        end = len(text)
        for token in tokens(text, begin):
            start = token.end - len(token.text)
            if token.text == b"(" and opened < 0:
                opened = start
            elif token.text == b")" and token.depth == 0 and closed < 0:
                closed = start
            elif token.depth == 0 and token.text == b"SETTINGS":
                end = start
                break
        name = text[begin : end if opened < 0 else opened].decode().strip()
        columns = "" if opened < 0 else text[opened + 1 : closed].decode()
        return cls(name.removeprefix("TABLE "), columns, text[end:].decode())


def insert(session: Session, head: str, input_format: str, data: Rows) -> Written:
    """Inserts the encoded rows of `data`; `head` is the INSERT in canonical form, without its FORMAT.

    `session` has SETTINGS.
    """
    target = Target.of(head)
    if target.table.startswith("FUNCTION "):
        return Written(session.load(head, input_format, data), 0, 0.0)  # null() alone, which takes anything
    if session.outlives_request:
        if (held := _temporary_rows(session, target.table)) is not None:
            rows = session.load(head, input_format, data)
            if _temporary_rows(session, target.table) != held + rows:
                raise EngineError.own(UNKNOWN_EXCEPTION, f"Not all of {rows} rows could be held in memory")
            return Written(rows, 0, 0.0)
        session.query(f"DROP TEMPORARY TABLE IF EXISTS {_STAGED}")
    try:
        return _staged(session, head, target, input_format, data)
    finally:
        if session.outlives_request:
            with suppress(EngineError):
                session.query(f"DROP TEMPORARY TABLE IF EXISTS {_STAGED}")


def _temporary_rows(session: Session, table: str) -> int | None:
    """Rows of a temporary table of this session; None for any other table."""
    for line in (
        session.query(
            "SELECT name, toUInt64(assumeNotNull(total_rows)) FROM system.tables WHERE is_temporary",
            "JSONCompactEachRow",
        )
        .bytes()
        .splitlines()
    ):
        name, rows = json.loads(line)
        if table in (name, quote_identifier(name)):
            return int(rows)
    return None


def _staged(session: Session, head: str, target: Target, input_format: str, data: Rows) -> Written:
    session.query(f"CREATE TEMPORARY TABLE {_STAGED} AS {target.table} ENGINE = Memory")
    columns = f" ({target.columns})" if target.columns else ""
    rows = session.load(f"INSERT INTO {_STAGED}{columns} {target.settings}", input_format, data)
    staged = int(session.query(f"SELECT count() FROM {_STAGED}").bytes())  # noqa: S608 - of this module
    if staged != rows:
        raise EngineError.own(UNKNOWN_EXCEPTION, f"Of {rows} rows only {staged} could be held in memory")
    result = session.query(f"{head} SELECT {target.columns or '*'} FROM {_STAGED}")  # noqa: S608 - the guard's text
    return Written(result.rows_written(), result.bytes_written(), result.elapsed())
