"""What one request leaves for the next ones of its `session_id`: temporary tables, SET and USE.

A session holds a handle on the engine from the first such statement on; until then its requests stand alone, so that
clients that send a session_id and need none, as clickhouse-connect does, cost nothing. As in ClickHouse, one request at
a time works in a session, what a request says in its URL is for itself alone, and a session that no request has used
for its `session_timeout` is gone.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

from services.warehouse.embedded.engine import Session, quote_string
from services.warehouse.embedded.engine_error import (
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from services.warehouse.embedded.engine import Engine

DEFAULT_TIMEOUT_SECONDS: Final = 60
MAX_TIMEOUT_SECONDS: Final = 3600
MAX_NAME_LENGTH: Final = 256
MAX_SESSIONS: Final = 10_000
MAX_HANDLES: Final = 100


class KeptHandle(Session):
    """The handle of a session: what is set for one request is put back after it."""

    outlives_request = True

    def __init__(self, connection_string: str) -> None:
        super().__init__(connection_string)
        self._values: dict[str, str | None] = {}
        self._database = ""
        self._has_params = False

    def set(self, settings: Mapping[str, str]) -> None:
        """For this request. Raises EngineError where one may not be set."""
        values = self._now([name for name in settings if name not in self._values])
        super().set(settings)
        self._values |= values

    def set_params(self, params: Mapping[str, str]) -> None:
        super().set_params(params)
        self._has_params = self._has_params or bool(params)

    def use(self, database: str) -> None:
        """For this request."""
        self._database = self._database or self.query("SELECT currentDatabase()", "TSVRaw").bytes().decode().strip()
        super().use(database)

    def put_back(self) -> None:
        """End the request. Raises EngineError where the handle is of no use any more."""
        values, self._values = self._values, {}
        database, self._database = self._database, ""
        if values:
            olds = (f"{name} = {'DEFAULT' if old is None else quote_string(old)}" for name, old in values.items())
            self.query(f"SET {', '.join(olds)}")
        if database:
            super().use(database)
        if self._has_params:
            self._has_params = False
            self.query("SELECT 1", params={"none": ""})  # the engine forgets them with those of a statement

    def _now(self, names: list[str]) -> dict[str, str | None]:
        """Values of settings; None where it is the default's. What the profile of the engine's user says is none."""
        if not names:
            return {}
        quoted = ", ".join(map(quote_string, names))
        found = self.query(
            f"SELECT name, value, changed FROM system.settings WHERE name IN ({quoted})",  # noqa: S608 - quoted
            "JSONCompactEachRow",
        )
        rows = (json.loads(line) for line in found.bytes().splitlines())
        return {name: value if changed else None for name, value, changed in rows}


class KeptSession:
    """One session_id; `tag` is what Engine.kill finds its statement by.

    `release` ends the hold of the present request.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.tag = secrets.token_hex(8)
        self.handle: KeptHandle | None = None
        self.release: Callable[[], None] = _nothing
        self.busy = False
        self.expiry: asyncio.TimerHandle | None = None

    def open(self) -> KeptHandle:
        """The handle, made where there is none yet. Raises EngineError where there are too many."""
        if self.handle is None:
            self.handle = self._sessions.open_handle(self.tag)
        return self.handle

    @contextmanager
    def lend(self, database: str, settings: Mapping[str, str], params: Mapping[str, str]) -> Iterator[KeptHandle]:
        """The handle for one request, with what its URL says."""
        handle = self.open()
        try:
            if database:
                handle.use(database)
            handle.set(settings)
            handle.set_params(params)
            yield handle
        finally:
            try:
                handle.put_back()
            except EngineError:
                self.close()

    def close(self) -> None:
        handle, self.handle = self.handle, None
        if handle is not None:
            handle.close()


class Sessions:
    """All sessions. `hold` is for the event loop, the rest for the thread in which a statement runs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[str, KeptSession] = {}

    @asynccontextmanager
    async def hold(self, query: Mapping[str, str]) -> AsyncIterator[KeptSession | None]:
        """The session that the URL's parameters name, for this request alone; None where they name none.

        Raises EngineError as ClickHouse does: 372 for one that `session_check=1` does not find, 373 for one in use.
        """
        name = query.get("session_id", "")
        if not name:
            yield None
            return
        timeout_seconds = _timeout_seconds(query.get("session_timeout", ""))
        kept = self._find(name, check=query.get("session_check", "") == "1")
        kept.busy = True
        if kept.expiry is not None:
            kept.expiry.cancel()
        loop = asyncio.get_running_loop()

        def release() -> None:
            if kept.release is not release:
                return
            kept.release = _nothing
            kept.busy = False
            if query.get("close_session", "") == "1":
                del self._kept[name]
                loop.run_in_executor(None, kept.close)
            else:
                kept.expiry = loop.call_later(timeout_seconds, self._expire, name)

        kept.release = release
        try:
            yield kept
        finally:
            release()

    def open_handle(self, tag: str) -> KeptHandle:
        if sum(kept.handle is not None for kept in list(self._kept.values())) >= MAX_HANDLES:
            raise EngineError.own(TOO_MANY_SIMULTANEOUS_QUERIES, f"More than {MAX_HANDLES} sessions with a state")
        return self._engine.open(KeptHandle, tag)

    def close(self) -> None:
        for kept in self._kept.values():
            if kept.expiry is not None:
                kept.expiry.cancel()
            kept.close()
        self._kept.clear()

    def _find(self, name: str, *, check: bool) -> KeptSession:
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise EngineError.own(BAD_ARGUMENTS, f"session_id: at most {MAX_NAME_LENGTH} printable characters")
        kept = self._kept.get(name)
        if kept is None:
            if check:
                raise EngineError.own(SESSION_NOT_FOUND, f"Session {name} not found")
            if len(self._kept) >= MAX_SESSIONS:
                raise EngineError.own(TOO_MANY_SIMULTANEOUS_QUERIES, f"More than {MAX_SESSIONS} sessions")
            kept = self._kept[name] = KeptSession(self)
        if kept.busy:
            raise EngineError.own(SESSION_IS_LOCKED, f"Session {name} is locked by a concurrent client")
        return kept

    def _expire(self, name: str) -> None:
        asyncio.get_running_loop().run_in_executor(None, self._kept.pop(name).close)


def _nothing() -> None:
    """Nobody holds the session."""


def _timeout_seconds(text: str) -> int:
    if not text:
        return DEFAULT_TIMEOUT_SECONDS
    if not (text.isascii() and text.isdigit()):
        raise EngineError.own(INVALID_SESSION_TIMEOUT, f"Invalid session timeout: '{text[:20]}'")
    if int(text) > MAX_TIMEOUT_SECONDS:
        raise EngineError.own(
            INVALID_SESSION_TIMEOUT,
            f"Session timeout '{text[:20]}' is larger than max_session_timeout {MAX_TIMEOUT_SECONDS}",
        )
    return int(text)
