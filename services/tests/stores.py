"""Databases with the schema in them, used again: to empty one takes a tenth of the time of the migrations."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from services.warehouse.migrate import migrate, migrations

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

# A database rests while so many others are used: what a test may have left under way has come to an end by then.
_RESTING: Final = 3
# All that an answer can depend on: how each table is made, how many rows it has, and what the migrations put into one.
_STATE: Final = """
SELECT
    groupArray((name, create_table_query, total_rows)),
    (SELECT arraySort(groupUniqArray(version)) FROM schema_migrations),
    (SELECT groupArray(since) FROM shares_1d_since)
FROM (SELECT * FROM system.tables WHERE database = currentDatabase() ORDER BY name)
"""


def run_sql(address: ClickHouseAddress, sql: str, database: str = "default") -> bytes:
    """One statement over plain HTTP."""
    request = urllib.request.Request(
        f"http://{address.host}:{address.port}/?database={database}",
        data=sql.encode(),
        headers={"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        body: bytes = reply.read()
        return body


@dataclass(slots=True)
class Stores:
    """The migrated, empty databases of a server."""

    server: ClickHouseAddress
    _resting: deque[ClickHouseAddress] = field(default_factory=deque)
    _as_made: dict[str, bytes] = field(default_factory=dict)

    def take(self) -> ClickHouseAddress:
        """One that nobody uses, exactly as the migrations leave it."""
        while len(self._resting) >= _RESTING:
            address = self._resting.popleft()
            if self._is_as_made(address):
                return address
            self._drop(address)
        address = replace(self.server, database=f"test_{uuid.uuid4().hex}")
        # A thread has no event loop of its own, where pytest may have one here.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrate(address)).result()
        self._as_made[address.database] = run_sql(address, _STATE, address.database)
        return address

    def give_back(self, address: ClickHouseAddress) -> None:
        """To be used again once it is empty, but not if the test has changed a table itself."""
        try:
            self._empty(address)
            reusable = self._is_as_made(address)
        except urllib.error.HTTPError as error:  # a table is gone
            error.close()
            reusable = False
        if reusable:
            self._resting.append(address)
        else:
            self._drop(address)

    def _empty(self, address: ClickHouseAddress) -> None:
        # This also forgets which INSERTs would be repeated ones.
        run_sql(address, f"TRUNCATE ALL TABLES FROM {address.database} NOT LIKE 'schema_migrations'")
        for migration in migrations():
            for statement in migration.statements:
                if "\nINSERT INTO " in f"\n{statement}":
                    run_sql(address, statement, address.database)

    def _is_as_made(self, address: ClickHouseAddress) -> bool:
        return run_sql(address, _STATE, address.database) == self._as_made[address.database]

    def _drop(self, address: ClickHouseAddress) -> None:
        run_sql(self.server, f"DROP DATABASE {address.database} SYNC")
