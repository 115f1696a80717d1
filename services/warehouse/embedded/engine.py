"""The chdb engine of one data folder, and sessions on it.

The engine has one path per process, and one process per path (held by a file lock here). Each request gets a connection
handle of its own (0.3 ms), so that database, settings and parameters of one request never meet another's, and nothing
waits for another's lock.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from chdb import _chdb

from services.warehouse.embedded.configuration import write_configuration
from services.warehouse.embedded.engine_error import UNKNOWN_SETTING, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

INSERT_CHUNK_BYTES = 1 << 20


class DataFolderInUseError(OSError):
    """Another process serves this data folder."""


def quote_identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quote_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Session:
    """One connection handle; to be used by one thread at a time, and not again after a failed stream."""

    def __init__(self, connection_string: str) -> None:
        self._handle = _chdb.connect(connection_string)

    def close(self) -> None:
        self._handle.close()

    def classify(self, sql: str) -> tuple[int, str]:
        """How many statements `sql` holds, and the engine's class of them; nothing runs."""
        facts = self._handle.classify_query(sql)
        return int(facts["statement_count"]), facts["query_class"].name

    def query(self, sql: str, output_format: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Any:
        """Run one statement and give the engine's whole result."""
        try:
            return self._handle.query(sql, output_format, params=dict(params or {}))
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None

    def stream(self, sql: str, output_format: str, params: Mapping[str, str]) -> Iterator[bytes]:
        """Run a SELECT and give its result block by block, each encoded by itself."""
        try:
            result = self._handle.send_query(sql, output_format, params=dict(params))
            finished = False
            try:
                while True:
                    chunk = self._handle.streaming_fetch_result(result)
                    if chunk is None or chunk.rows_read() == 0:
                        finished = True
                        return
                    yield chunk.bytes()
            finally:
                if not finished:
                    self._handle.streaming_cancel_query(result)
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None

    def insert(self, sql: str, input_format: str, data: IO[bytes]) -> tuple[int, int, float]:
        """Insert the encoded rows of `data`; all is committed, or an EngineError is raised.

        Gives rows written, bytes written and seconds.
        """
        try:
            stream = self._handle.send_insert(sql, input_format)
            try:
                while chunk := data.read(INSERT_CHUNK_BYTES):
                    self._handle.insert_append(stream, chunk)
            except BaseException:
                self._handle.insert_cancel(stream)
                raise
            result = self._handle.insert_done(stream)
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None
        return result.rows_written(), result.bytes_written(), result.elapsed()


class Engine:
    """The engine, running on `data`; raises DataFolderInUseError when another process holds the folder."""

    def __init__(self, data: Path, storage: Path | None, database: str) -> None:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.temporary = data / "incoming"
        self._lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise DataFolderInUseError(
                f"{data}: another process serves this data folder; stop it, or choose another folder (--data)"
            ) from None
        self.temporary.mkdir(exist_ok=True)
        configuration = write_configuration(data, storage)
        self._database = database
        self._connection_string = f"{data / 'engine'}?config-file={configuration}"
        try:
            # Held open: the engine lives as long as any handle does.
            self._anchor = Session(self._connection_string)
        except RuntimeError as error:
            os.close(self._lock)
            raise EngineError.from_engine(str(error)) from None
        self._anchor.query(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}")

    def text(self, sql: str) -> str:
        """One value as text, for the server's own questions."""
        value: bytes = self._anchor.query(sql, "TSVRaw").bytes()
        return value.decode().rstrip("\n")

    @contextmanager
    def session(
        self, database: str = "", settings: Mapping[str, str] | None = None, params: Mapping[str, str] | None = None
    ) -> Iterator[Session]:
        """A fresh handle in `database`, with these settings and query parameters."""
        session = Session(self._connection_string)
        try:
            session.query(f"USE {quote_identifier(database or self._database)}")
            assignments = []
            for name, value in (settings or {}).items():
                if not name.isidentifier() or not name.isascii():
                    raise EngineError.own(UNKNOWN_SETTING, f"Unknown setting {name!r}")
                assignments.append(f"{name} = {quote_string(value)}")
            for name, value in (params or {}).items():
                if not name.isidentifier() or not name.isascii():
                    raise EngineError.own(UNKNOWN_SETTING, f"Not the name of a query parameter: {name!r}")
                assignments.append(f"param_{name} = {quote_string(value)}")
            if assignments:
                session.query("SET " + ", ".join(assignments))
            yield session
        finally:
            session.close()

    def close(self) -> None:
        self._anchor.close()
        os.close(self._lock)
