"""The files of the spool's segments: ID.sqlite with what SQLite puts beside it, and ID.lock."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".sqlite"


def segment_paths(folder: Path) -> list[Path]:
    """The segments in a folder, whoever holds them, the oldest first. One of which only the lock is left is among them:
    claiming it clears the lock away."""
    found = set()
    for path in (*folder.glob(f"*{SUFFIX}"), *folder.glob("*.lock")):
        with suppress(ValueError, FileNotFoundError):
            UUID(path.stem)
            found.add((path.stat().st_mtime, path.with_suffix(SUFFIX)))
    return list(dict.fromkeys(path for _, path in sorted(found)))


def file_bytes(path: Path) -> int:
    """What a segment takes on disk, its write-ahead log included; 0 once it is gone."""
    total = 0
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            total += path.with_name(path.name + suffix).stat().st_size
    return total


def lock_path(path: Path) -> Path:
    """Where the lock of the segment at `path` lies."""
    return path.with_suffix(".lock")


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the segment's lock, or None if another holds it."""
    beside = lock_path(path)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The holder before us may have deleted the file whose lock we now have.
        if os.stat(beside).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def sync_folder(folder: Path) -> None:
    """Makes what was created in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
