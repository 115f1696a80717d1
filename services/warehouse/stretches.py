"""A period cut into stretches of time that hold about so many shares each, so that none takes long or much memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Stretch:
    """[start, end) in unix seconds, and how many shares were there when it was cut."""

    start: int
    end: int
    rows: int


def stretches(
    counts: Iterable[tuple[int, int]],
    start: int,
    end: int,
    *,
    most_rows: int = 4_000_000,
    step_seconds: int = HOUR_SECONDS,
) -> list[Stretch]:
    """Cut [start, end): steps that follow each other go together up to `most_rows`, with what empty time is between.

    `counts` are rows by the start of each step, ascending; the first and the last step may reach beyond the period.
    """
    found: list[Stretch] = []
    for begin, rows in counts:
        first, last = max(begin, start), min(begin + step_seconds, end)
        if found and found[-1].rows + rows <= most_rows:
            found[-1] = Stretch(found[-1].start, last, found[-1].rows + rows)
        else:
            found.append(Stretch(first, last, rows))
    return found
