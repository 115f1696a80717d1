"""The rows of an INSERT while they are on their way: the event loop writes them, a thread reads them meanwhile."""

from __future__ import annotations

import threading
from typing import IO, Final

# Whoever sends more slowly than a chunk in this time shall not keep a thread waiting: its rows are read once all are
# there.
PATIENCE_SECONDS: Final = 0.25


class StalledError(Exception):
    """The rows do not come as fast as they are read, or no more will come."""


class ArrivingRows:
    """Encoded rows in a file, read by one thread at a time from their beginning, before the last has come."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._written_bytes = file.seek(0, 2)
        self._read_bytes = 0
        self._complete = False
        self._stopped = False

    def write(self, piece: bytes) -> None:
        with self._changed:
            self._file.seek(0, 2)
            self._file.write(piece)
            self._written_bytes += len(piece)
            self._changed.notify_all()

    def end(self) -> None:
        """All are there."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Whoever reads now or later gets StalledError, until `rewind`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def rewind(self) -> None:
        """They are read from their beginning again."""
        with self._changed:
            self._read_bytes = 0
            self._stopped = False

    def read(self, size: int) -> bytes:
        """The next `size` bytes, the last ones, or b''. Waits for what has not come; raises StalledError."""
        with self._changed:
            come = self._changed.wait_for(
                lambda: self._stopped or self._complete or self._written_bytes - self._read_bytes >= size,
                PATIENCE_SECONDS,
            )
            if self._stopped or not come:
                raise StalledError
            self._file.seek(self._read_bytes)
            data = self._file.read(size)
            self._read_bytes += len(data)
            return data

    def close(self) -> None:
        with self._changed:
            self._stopped = True
            self._file.close()
            self._changed.notify_all()
