"""`sharehouse backup create` and `restore`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.command import options
from services.command.database import sentence
from services.command.mistake import Mistake
from services.command.storage_report import size
from services.warehouse import backup
from services.warehouse.backup import BackupError, BackupNameError, BackupState, StoreInUseError
from services.warehouse.migrate import migrate
from services.warehouse.rollup_rebuild import rebuild_differing
from services.warehouse.without_job import leave_out_without_job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.command.configuration import Configuration
    from services.warehouse.address import ClickHouseAddress

T = TypeVar("T")

_TELL_AGAIN_SECONDS = 2.0
_ACCESS_DENIED = 497
# What ClickHouse says, and what to do then.
_GRANT = "grant the user BACKUP, and READ, WRITE ON DISK (config/clickhouse/users.xml tells how)"
_REMEDIES = {
    "Not enough privileges": _GRANT,
    "is not allowed for backups": "give the server a disk `backups` (config/clickhouse/backups.xml tells how)",
    "already exists": "choose another name, or remove that backup",
    "not found": "see the name, and that the backup lies in BACKUP_DIR (DATA/backups) of the server",
    "No such volume": "its old shares go to S3: set AWS_S3_BUCKET and the keys, so that they have a volume here",
    "Not enough space": "make room, or set BACKUP_DIR to a folder on another disk, and restart",
    "No space left": "make room, or set BACKUP_DIR to a folder on another disk, and restart",
}


def create(configuration: Configuration, name: str | None, say: Callable[[str], None]) -> None:
    """Back the store up. Raises Mistake where that cannot be."""
    address = options.address(configuration)
    chosen = name or f"sharehouse-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    tell = _Teller(say, "backing up")
    done = _asked(address, "the backup failed", lambda: backup.create_backup(address, chosen, tell))
    say(f"backed up to {chosen}: {done.files:,} files, {size(done.size_bytes)}, in {done.seconds:.1f} s")
    say("to see that it is whole, restore it into an empty data folder and run sharehouse shares audit there")


def restore(configuration: Configuration, name: str, say: Callable[[str], None]) -> None:
    """Restore a backup into an empty store. Raises Mistake where that cannot be."""
    address, retention = options.address(configuration), options.retention(configuration)
    tell = _Teller(say, "restoring")

    async def restored() -> tuple[BackupState, list[str], int, int]:
        update = partial(migrate, address, retention)
        try:
            done = await backup.restore_backup(address, name, retention, tell)
        except BackupError:
            # Nothing came of it: an empty store, as before.
            await update()
            raise
        applied, left_out = await update(), await leave_out_without_job(address)
        return done.state, applied, left_out, await rebuild_differing(address, done.kept_days)

    done, applied, left_out, rebuilt = _asked(address, "the restore failed", restored)
    say(f"restored {name}: {done.files:,} files, {size(done.size_bytes)}, in {done.seconds:.1f} s")
    for migration in applied:
        say(f"applied {migration}")
    if left_out:
        say(f"{left_out} shares left out: they came in while the backup was made, and it does not have their jobs")
    if rebuilt:
        say(f"{rebuilt} buckets of the roll-ups made anew: shares came in while the backup was made")
    say("now verify it: sharehouse shares audit --from 2020-01-01")


class _Teller:
    def __init__(self, say: Callable[[str], None], doing: str) -> None:
        self._say = say
        self._doing = doing
        self._next = 0.0

    def __call__(self, state: BackupState) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TELL_AGAIN_SECONDS
            read = f", {size(state.bytes_read)} of {size(state.size_bytes)} read" if state.bytes_read else ""
            self._say(f"{self._doing}: {state.seconds:.0f} s{read}")


def _asked(address: ClickHouseAddress, failed: str, work: Callable[[], Awaitable[T]]) -> T:
    async def done() -> T:
        return await work()

    try:
        return asyncio.run(done())
    except BackupNameError as error:
        raise Mistake(str(error)) from None
    except StoreInUseError as error:
        raise Mistake(f"{error}; restore into an empty one: another data folder (--data DIR) or database") from None
    except BackupError as error:
        remedy = next((todo for said, todo in _REMEDIES.items() if said in str(error)), "its own log may tell more")
        raise Mistake(f"{failed}: ClickHouse says: {error}; {remedy}") from None
    except (ClickHouseError, aiohttp.ClientError, OSError) as error:
        if isinstance(error, Error) and error.code == _ACCESS_DENIED:
            raise Mistake(f"{failed}: user {address.user} may not; {_GRANT}") from None
        raise Mistake(
            f"{failed}: ClickHouse at {address.host}:{address.port} {sentence(error, address.user)}"
        ) from None
