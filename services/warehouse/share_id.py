"""The name of one share, for ever: the spool segment that it was written to, and its number there."""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from uuid import UUID

_FORM = re.compile(r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})-([0-9]{1,20})")
_MOST = (1 << 64) - 1


class ShareIdError(ValueError):
    """A text that is no share's id."""


class ShareId(NamedTuple):
    """Written SEGMENT-SEQ: the segment's UUID, a hyphen, and the number of the share in it."""

    segment: UUID
    seq: int

    def __str__(self) -> str:
        return f"{self.segment}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` writes. Raises ShareIdError."""
        found = _FORM.fullmatch(text)
        if found is None or int(found[2]) > _MOST:
            raise ShareIdError("a share's id is SEGMENT-SEQ: a UUID, a hyphen and a number")
        return cls(UUID(found[1]), int(found[2]))
