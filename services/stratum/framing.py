"""Lines out of a byte stream, in linear time and bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator


class LineTooLongError(ProtocolError):
    """A line passed the limit before its end came."""


class LineBuffer:
    """Collects bytes and hands out complete lines without their line ends; blank lines are skipped.

    Operations wanted: feed any split of the stream, get the same lines. Worst case: each byte is searched once for its
    newline and copied twice, and at most ``max_line_bytes`` wait here between two feeds.
    """

    __slots__ = ("_max_line_bytes", "_partial", "_searched")

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._partial = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields each line that ``data`` completes; raises LineTooLongError, after those before the long one."""
        partial = self._partial
        if not partial and 0 <= data.find(b"\n") == len(data) - 1 <= self._max_line_bytes:
            # One whole line, as nearly every read is.
            if line := data.strip():
                yield line
            return
        partial += data
        start = 0
        try:
            while (end := partial.find(b"\n", max(start, self._searched))) >= 0:
                line = bytes(partial[start:end]).strip()
                start, self._searched = end + 1, 0
                if len(line) > self._max_line_bytes:
                    raise LineTooLongError(f"line longer than {self._max_line_bytes} bytes")
                if line:
                    yield line
        finally:
            del partial[:start]
        self._searched = len(partial)
        if len(partial) > self._max_line_bytes:
            partial.clear()
            self._searched = 0
            raise LineTooLongError(f"line longer than {self._max_line_bytes} bytes")
