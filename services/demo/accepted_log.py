"""The pool's own record of accepted shares, which the tests hold against every other count."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from services.stratum.header import display

if TYPE_CHECKING:
    from pathlib import Path


class AcceptedLog:
    """An append-only text file: hash, worker, difficulty and Unix time, with tabs between, one share a line.

    A line is in the kernel's hands when :meth:`append` returns, so that a kill of this process cannot take it back.
    (It is not forced to disk: a power cut may.)
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the file; raises OSError."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        self._half_line = bool(size) and os.pread(self._file, 1, size - 1) != b"\n"

    def append(self, block_hash: bytes, worker: str, difficulty: float, now_seconds: float) -> None:
        """Writes one share; ``block_hash`` in internal order. Raises OSError: the share must not be accepted then."""
        line = f"{display(block_hash)}\t{worker}\t{difficulty!r}\t{now_seconds:.3f}\n".encode()
        if self._half_line:  # of a process that was killed, or on a disk that was full: the next line is to stand alone
            line = b"\n" + line
        written = os.write(self._file, line)
        self._half_line = written < len(line)
        if self._half_line:
            raise OSError(f"only {written} of {len(line)} bytes could be written to the log of accepted shares")

    def close(self) -> None:
        os.close(self._file)
