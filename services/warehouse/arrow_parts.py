"""Arrow streams of the same columns joined into one.

A stream (Arrow columnar format, IPC streaming format) is a message with the schema, messages with rows, and an end
mark; each message begins with a continuation mark and the length of its metadata. The engine writes no dictionaries
here.
"""

from __future__ import annotations

from typing import Final

_CONTINUES: Final = b"\xff\xff\xff\xff"
END: Final = _CONTINUES + bytes(4)


class ArrowError(ValueError):
    """What was given is no Arrow stream, or does not have the columns of those before it."""


class ArrowParts:
    """Joins parts; send on what `add` gives, each time, and at last what `end` gives."""

    def __init__(self) -> None:
        self._schema: bytes | None = None

    def add(self, part: bytes) -> bytes:
        """What to send for `part`, a whole stream. Raises ArrowError."""
        size = 8 + int.from_bytes(part[4:8], "little")
        if part[:4] != _CONTINUES or not part.endswith(END) or size > len(part) - len(END):
            raise ArrowError("no Arrow stream")
        schema, rows = part[:size], part[size : -len(END)]
        if self._schema is None:
            self._schema = schema
            return schema + rows
        if schema != self._schema:
            raise ArrowError("a part with other columns")
        return rows

    def end(self) -> bytes:
        """The end mark. Raises ArrowError if there was no part."""
        if self._schema is None:
            raise ArrowError("no part")
        return END
