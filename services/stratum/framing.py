"""Lines out of a byte stream, in linear time and bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.stratum.reject import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
        # None while nothing waits, as nearly always: of thousands of connections each would keep an empty one.
        self._partial: bytearray | None = None
        self._searched = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here for what comes next."""
        return not self._partial

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Each line that ``data`` completes; raises LineTooLongError, after those before the long one.

        What is not taken of them now comes with the next call.
        """
        if not self._partial and 0 <= data.find(b"\n") == len(data) - 1 <= self._max_line_bytes:
            # One whole line, as nearly every read is.
            line = data.strip()
            return (line,) if line else ()
        return self._split(data)

    def _split(self, data: bytes) -> Iterator[bytes]:
        partial = self._partial = bytearray() if self._partial is None else self._partial
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
            if not partial:
                self._partial = None
        self._searched = len(partial)
        if len(partial) > self._max_line_bytes:
            self._partial = None
            self._searched = 0
            raise LineTooLongError(f"line longer than {self._max_line_bytes} bytes")
