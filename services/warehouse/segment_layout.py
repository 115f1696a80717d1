"""How a segment's SQLite file is laid out, and how it is opened."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from services.warehouse.rowbinary import COLUMNS, Stream

if TYPE_CHECKING:
    from pathlib import Path

FREE_BYTES: Final = 64 * 1024 * 1024
"""What a segment may hold on to of free space, and its write-ahead log of disk."""

_TABLES: Final = """
CREATE TABLE streams (stream TEXT PRIMARY KEY, columns TEXT NOT NULL);
CREATE TABLE probe (id INTEGER PRIMARY KEY, written_ms INTEGER NOT NULL);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL UNIQUE, columns TEXT NOT NULL,
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_ts_ms INTEGER NOT NULL, last_ts_ms INTEGER NOT NULL,
    first_sent_ms INTEGER NOT NULL, token TEXT NOT NULL DEFAULT ''
);
""" + "".join(
    f"""
CREATE TABLE {stream.value} (
    id INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL, committed_ms INTEGER NOT NULL,
    first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_ts_ms INTEGER NOT NULL, last_ts_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);"""
    for stream in Stream
)
_STREAM_COLUMNS: Final = "".join(
    f"INSERT INTO streams VALUES ('{stream.value}', '{','.join(columns)}');\n"  # noqa: S608 - constants of this code
    for stream, columns in COLUMNS.items()
)
LAYOUT: Final = _TABLES + _STREAM_COLUMNS
"""The statements that lay out a new file."""


def connect(path: Path) -> sqlite3.Connection:
    """Durable at each commit; for any thread. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        # Takes effect on a new file only, before its first table.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        # Debian's SQLite writes zeros over what is deleted: a batch that ClickHouse has would be written once more.
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA journal_size_limit = {FREE_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection
