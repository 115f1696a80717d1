"""The data folder of one `sharehouse up`: who uses it, whether it can be written, and where things stand in it."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from pathlib import Path

_LOCK = "up.lock"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Where each part keeps its files."""

    path: Path

    @property
    def clickhouse(self) -> Path:
        """The engine's tables."""
        return self.path / "clickhouse"

    @property
    def spool(self) -> Path:
        """Segments of shares that ClickHouse does not have yet."""
        return self.path / "spool"

    @property
    def secrets(self) -> Path:
        """What `up` made because nobody set it; this user's alone."""
        return self.path / "secrets"

    @property
    def demo(self) -> Path:
        """Files of the demo pool."""
        return self.path / "demo"

    def create(self) -> None:
        """Make the folder where it is missing. Raises Mistake where it cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-test-{uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Mistake(
                f"the data folder {self.path} cannot be written ({error.strerror});"
                " give this user the right to, or name another with --data DIR"
            ) from None

    def s3_prefix(self) -> str:
        """The path inside the bucket that belongs to this folder's tables alone; made once, and kept."""
        kept = self.path / "s3_prefix"
        try:
            return kept.read_text().strip()
        except FileNotFoundError:
            self.create()
            prefix = f"sharehouse/{uuid4().hex[:12]}"
            kept.write_text(prefix + "\n")
            return prefix


class FolderLock:
    """Held by the one `up` that runs on a folder; the kernel drops it however that process ends."""

    __slots__ = ("_file", "last_run_was_killed")

    def __init__(self, folder: DataFolder) -> None:
        """Take the lock. Raises Mistake where another process holds it."""
        path = folder.path / _LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Mistake(f"{path}: {error.strerror}; give this user the right to write it") from None
        self._file = os.fdopen(descriptor, "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._file.read(20).strip() or "unknown"
            self._file.close()
            raise Mistake(
                f"the data folder {folder.path} is in use by another `sharehouse up` (process {holder});"
                " stop that one, or name another folder with --data DIR"
            ) from None
        # A run that ends in order leaves the file empty.
        self.last_run_was_killed = bool(self._file.read(20).strip())
        self._write(f"{os.getpid()}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
