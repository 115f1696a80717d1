"""The data folder of one `sharehouse up`: who uses it, whether it can be written, and where things stand in it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TextIO
from uuid import uuid4

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_LOCK = "up.lock"
_PREFIX = "s3_prefix"
# The services of a run that was killed drain, and end by force after 12 s (parent.py).
_ORPHANS_SECONDS = 20.0


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
    def backups(self) -> Path:
        """Where `backup create` writes to, unless the settings say otherwise."""
        return self.path / "backups"

    @property
    def secrets(self) -> Path:
        """What `up` made because nobody set it; this user's alone."""
        return self.path / "secrets"

    @property
    def demo(self) -> Path:
        """Files of the demo pool."""
        return self.path / "demo"

    @property
    def demo_config(self) -> Path:
        """The config file of a run with `--demo`; where it is, the folder's shares are those of a demo."""
        return self.demo / "config.toml"

    def examine(self) -> None:
        """Raises Mistake where a file stands in the place of a folder. Writes nothing."""
        own = (self.clickhouse, self.spool, self.secrets, self.demo)
        problems = [
            f"{path} is a file, not a folder; move it away, or name another data folder with --data DIR"
            for path in (self.path, *self.path.parents, *own)
            if os.path.exists(path) and not os.path.isdir(path)
        ]
        if problems:
            raise Mistake(*problems)

    def create(self) -> list[Path]:
        """Make the folder where it is missing; returns the folders made. Raises Mistake where it cannot be written."""
        self.examine()
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-test-{uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            remove_empty(missing)
            raise Mistake(
                f"the data folder {self.path} cannot be written ({error.strerror});"
                " give this user the right to, or name another with --data DIR"
            ) from None
        return missing

    def s3_prefix(self) -> str | None:
        """The path inside the bucket that belongs to this folder's tables alone; None before one was kept."""
        try:
            return (self.path / _PREFIX).read_text().strip() or None
        except FileNotFoundError:
            return None

    def keep_s3_prefix(self, prefix: str) -> None:
        """Make it this folder's for ever, unless it has one."""
        if self.s3_prefix() is None:
            (self.path / _PREFIX).write_text(prefix + "\n")


def _runs(process: str) -> bool:
    """Whether the process with this number lives; one whose number nobody wrote yet does."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (ValueError, PermissionError):
        return True
    return True


def new_prefix() -> str:
    """A path inside a bucket that no other server uses."""
    return f"sharehouse/{uuid4().hex[:12]}"


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders, deepest first, that hold nothing."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


class FolderLock:
    """Held by the one `up` that runs on a folder, and by its services, who inherit it: the kernel drops it when all of
    them have ended, however they end.

    Its file is there while it is held, and after a run that was killed.
    """

    __slots__ = ("_file", "_path")

    def __init__(self, folder: DataFolder, on_wait: Callable[[str], None] = lambda _: None) -> None:
        """Take the lock. Raises Mistake where another run holds it.

        The services of a run that was killed end by themselves; they are waited for, and `on_wait` is told so.
        """
        self._path = folder.path / _LOCK
        until: float | None = None
        while True:
            self._file = self._open()
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self._file.read(20).strip()
                self._file.close()
                if _runs(holder) or (until is not None and time.monotonic() >= until):
                    raise Mistake(
                        f"the data folder {folder.path} is in use by another `sharehouse up` (process"
                        f" {holder or 'unknown'}); stop that one, or name another folder with --data DIR"
                    ) from None
                if until is None:
                    until = time.monotonic() + _ORPHANS_SECONDS
                    on_wait(f"the last run on {folder.path} was killed; waiting for its services to end")
                time.sleep(0.1)
                continue
            if self._is_in_place():
                break
            # Whoever held it has just removed it: this is the lock of a file that nobody else would find.
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    @property
    def descriptor(self) -> int:
        """What a service inherits."""
        return self._file.fileno()

    def release(self) -> None:
        """Give it back, after a run that ended in order or never began."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open(self) -> TextIO:
        try:
            return os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise Mistake(f"{self._path}: {error.strerror}; give this user the right to write it") from None

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False
