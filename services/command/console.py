"""What `up` writes to the terminal: its own lines and its children's, each behind a name."""

from __future__ import annotations

import queue
import sys
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUED_LINES = 10_000
_COLOURS = (36, 33, 32, 35, 34, 96)
OWN_NAME = "up"


class Console:
    """Writes lines from a thread of its own, so that a terminal that is paused never holds up a service.

    Lines that find the queue full are dropped, and counted where the next one fits. `on_gone` is called, from that
    thread, once nobody reads any more.
    """

    def __init__(self, names: list[str], on_gone: Callable[[], None], stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._on_gone = on_gone
        self._width = max(map(len, [OWN_NAME, *names]))
        self._prefixes = {name: self._prefix(name, index) for index, name in enumerate([OWN_NAME, *names])}
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUED_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line of `up` itself."""
        for line in text.splitlines() or [""]:
            self.line(OWN_NAME, line)

    def line(self, name: str, line: str) -> None:
        """A line of the service `name`; control characters are made visible."""
        if not line.isprintable():
            line = "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
        text = f"{self._prefixes[name]}{line}\n"
        try:
            if self._dropped:
                self._lines.put_nowait(f"{self._prefixes[OWN_NAME]}{self._dropped} lines were dropped here\n")
                self._dropped = 0
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def close(self, within_seconds: float = 1.0) -> None:
        """Write what is queued, as far as the terminal takes it within that time."""
        try:
            self._lines.put(None, timeout=within_seconds)
        except queue.Full:
            return
        self._thread.join(within_seconds)

    def _prefix(self, name: str, index: int) -> str:
        padded = f"{name:<{self._width}}"
        if not self._stream.isatty():
            return f"{padded} | "
        return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{padded} |\x1b[0m "

    def _write(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._stream.write(text)
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self._on_gone()
                return
