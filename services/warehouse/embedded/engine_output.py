"""What the engine writes on this process's stderr: there alone it says why it does not start."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR = 2


class EngineOutput:
    """Text that was written meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def reason(self) -> str:
        """The last exception that the engine told of; '' without one."""
        self._file.seek(0)
        lines = self._file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if "DB::Exception" in line), "")


@contextmanager
def engine_output() -> Iterator[EngineOutput]:
    """Keep stderr aside; lines that are not the engine's exceptions are written there afterwards."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(_STDERR)
        os.dup2(file.fileno(), _STDERR)
        try:
            yield EngineOutput(file)
        finally:
            os.dup2(kept, _STDERR)
            file.seek(0)
            for line in file.read().splitlines(keepends=True):
                if line.strip() and b"DB::Exception" not in line:
                    os.write(kept, line)
            os.close(kept)
