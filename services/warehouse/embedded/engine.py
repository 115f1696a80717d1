"""The chdb engine of one data folder, and sessions on it.

The engine has one path per process, and one process per path (held by a file lock here). Each request gets a connection
handle of its own (0.3 ms), so that database, settings and parameters of one request never meet another's, and nothing
waits for another's lock.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from chdb import _chdb  # the handle itself; chdb's own wrappers lose written_rows and the stream's end

from services.warehouse.embedded.configuration import ConfigurationError, write_configuration
from services.warehouse.embedded.engine_error import SETTING_CONSTRAINT_VIOLATION, UNKNOWN_SETTING, EngineError
from services.warehouse.embedded.engine_output import engine_output

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

INSERT_CHUNK_BYTES = 1 << 20
# Marks a session in system.processes, so that what it runs can be found and cancelled: the engine takes neither a query
# id nor a setting of our own. It chooses a workload for scheduling, and one that is not defined changes nothing.
# A client may not set it, or its statement could not be found: a client that is gone would keep its place.
TAG_SETTING = "workload"


S = TypeVar("S", bound="Session")


class DataFolderInUseError(OSError):
    """Another process serves this data folder."""


class ColdStorageAwayError(OSError):
    """Tables have parts on S3, and S3 does not give them. The engine can be opened later, also by this process."""


def quote_identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def quote_string(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _checked(name: str) -> str:
    """Give `name` back if it can be the name of a setting or parameter."""
    if not (name.isidentifier() and name.isascii()):
        raise EngineError.own(UNKNOWN_SETTING, f"Unknown setting {name!r}")
    return name


def tag_refusal() -> EngineError:
    """What a client reads that would set the tag of its own session."""
    return EngineError.own(SETTING_CONSTRAINT_VIOLATION, f"Setting {TAG_SETTING} should not be changed")


class Rows(Protocol):
    """Encoded rows, or a file of them."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What an INSERT wrote."""

    rows: int
    size_bytes: int
    seconds: float


class Session:
    """One connection handle; to be used by one thread at a time."""

    outlives_request = False

    def __init__(self, connection_string: str) -> None:
        try:
            self._handle = _chdb.connect(connection_string)  # type: ignore[attr-defined]
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None

    def close(self) -> None:
        self._handle.close()

    def set(self, settings: Mapping[str, str]) -> None:
        """Set each, in this order. Raises EngineError where one may not be set."""
        if settings:
            self.query(
                "SET " + ", ".join(f"{_checked(name)} = {quote_string(value)}" for name, value in settings.items())
            )

    def set_params(self, params: Mapping[str, str]) -> None:
        """Query parameters of statements that are given none of their own."""
        if params:
            assignments = (f"param_{_checked(name)} = {quote_string(value)}" for name, value in params.items())
            self.query(f"SET {', '.join(assignments)}")

    def use(self, database: str) -> None:
        self.query(f"USE {quote_identifier(database)}")

    def tag(self, tag: str) -> None:
        """What Engine.kill and Engine.progress find its statements by."""
        self.query(f"SET {TAG_SETTING} = {quote_string(tag)}")

    def query(self, sql: str, output_format: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Any:
        """Run one statement and give the engine's whole result."""
        try:
            return self._handle.query(sql, output_format, params=dict(params or {}))
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None

    def stream(self, sql: str, output_format: str, params: Mapping[str, str]) -> Generator[bytes, None, None]:
        """Run a SELECT and give its result block by block, each encoded by itself."""
        try:
            result = self._handle.send_query(sql, output_format, params=dict(params))
            finished = False
            try:
                while True:
                    chunk = self._handle.streaming_fetch_result(result)
                    if chunk is None or chunk.rows_read() == 0:
                        finished = True
                        # Of a result without rows, this is the head, in formats that have one.
                        if chunk is not None and (last := chunk.bytes()):
                            yield last
                        return
                    yield chunk.bytes()
            finally:
                if not finished:
                    self._handle.streaming_cancel_query(result)
        except RuntimeError as error:
            raise EngineError.from_engine(str(error)) from None

    def load(self, sql: str, input_format: str, data: Rows) -> int:
        """Stream the encoded rows of `data` in, and count them; `sql` is the INSERT without its FORMAT.

        What the table refuses at the end of the stream is not told: see insert.py.
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
        rows: int = result.rows_written()
        return rows


def _first_session(connection_string: str) -> Session:
    """The session that starts the engine and loads its tables."""
    with engine_output() as output:
        try:
            return Session(connection_string)
        except EngineError as error:
            reason = output.reason() or error.message
    if "(S3_ERROR)" in reason:
        raise ColdStorageAwayError(f"S3 does not give what lies there ({_innermost(reason)})")
    if "No such volume" in reason or "(UNKNOWN_DISK)" in reason or "(UNKNOWN_POLICY)" in reason:
        raise ConfigurationError(
            f"old shares of this data folder go to S3, which is not configured now ({_innermost(reason)}):"
            " set AWS_S3_BUCKET, and AWS_S3_PREFIX and AWS_S3_ENDPOINT where you had set them, as they were"
        )
    raise EngineError.from_engine(reason)


def _innermost(reason: str) -> str:
    """What happened first, without what the engine tells around it."""
    text = reason.rsplit("DB::Exception: ", 1)[-1]
    return " ".join(text.split(": Cannot attach table", 1)[0].split())[:300]


class Engine:
    """The engine, running on `data`.

    Raises DataFolderInUseError when another process holds the folder, ColdStorageAwayError and ConfigurationError.
    """

    def __init__(self, data: Path, storage: Path | None, database: str, backups: Path | None = None) -> None:
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
        try:
            self.temporary.mkdir(exist_ok=True)
            if backups is not None:
                backups.mkdir(parents=True, exist_ok=True, mode=0o700)
            configuration = write_configuration(data, storage, None if backups is None else backups.absolute())
            self._database = database
            self._connection_string = f"{data / 'engine'}?config-file={configuration}"
            # Held open: the engine lives as long as any handle does.
            self._anchor = _first_session(self._connection_string)
        except BaseException:
            os.close(self._lock)
            raise
        self._anchor.query(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(database)}")

    def text(self, sql: str) -> str:
        """One value as text, for the server's own questions."""
        value: bytes = self._anchor.query(sql, "TSVRaw").bytes()
        return value.decode().rstrip("\n")

    def kill(self, tag: str) -> None:
        """Cancel what the session with this tag runs; it ends with an error soon after."""
        session = Session(self._connection_string)
        try:
            session.query(f"KILL QUERY WHERE Settings['{TAG_SETTING}'] = {quote_string(tag)} ASYNC")
        finally:
            session.close()

    def progress(self, tag: str) -> dict[str, int] | None:
        """How far the statement of the session with this tag is, as in X-ClickHouse-Progress; None where none runs."""
        session = Session(self._connection_string)
        try:
            found = session.query(
                "SELECT read_rows, read_bytes, written_rows, written_bytes, total_rows_approx,"  # noqa: S608 - quoted
                " toUInt64(elapsed * 1e9)"
                f" FROM system.processes WHERE Settings['{TAG_SETTING}'] = {quote_string(tag)}",
                "TSVRaw",
            )
        finally:
            session.close()
        lines = found.bytes().decode().splitlines()
        names = "read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read", "elapsed_ns"
        return dict(zip(names, map(int, lines[0].split("\t")), strict=True)) if lines else None

    def open(self, kind: type[S], tag: str) -> S:
        """A handle in this server's database, for who closes it."""
        session = kind(self._connection_string)
        try:
            session.use(self._database)
            session.tag(tag)
        except BaseException:
            session.close()
            raise
        return session

    @contextmanager
    def session(
        self,
        database: str = "",
        settings: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
        tag: str = "",
    ) -> Iterator[Session]:
        """A fresh handle in `database`, with these settings and query parameters.

        `read_only` is ClickHouse's readonly = 2: settings may change, data may not. `tag` is what `kill` finds it by.
        """
        if settings and TAG_SETTING in settings:
            raise tag_refusal()
        session = Session(self._connection_string)
        try:
            session.use(database or self._database)
            wanted = dict(settings or {})
            last = {"readonly": wanted.pop("readonly")} if "readonly" in wanted else {}
            # At once, for each statement costs a quarter of a millisecond.
            assignments = [f"param_{_checked(name)} = {quote_string(value)}" for name, value in (params or {}).items()]
            assignments += [f"{_checked(name)} = {quote_string(value)}" for name, value in wanted.items()]
            if tag:
                assignments.append(f"{TAG_SETTING} = {quote_string(tag)}")
            if read_only:
                assignments.append("readonly = 2")
            if assignments:
                session.query("SET " + ", ".join(assignments))
            # A client's own readonly comes last: it may forbid to set anything after it, and may not undo `read_only`.
            session.set(last)
            yield session
        finally:
            session.close()

    def close(self) -> None:
        self._anchor.close()
        os.close(self._lock)
