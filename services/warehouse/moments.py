"""Moments of a statement as bound parameters, and conditions that a moment lies in some of its spans of time.

Bound, because the text of a statement then stays the same from second to second: who has looked into it once, as the
embedded server's guard does, need not do so again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Span = tuple[int, int]
"""[start, end), unix seconds."""


class Moments:
    """The moments (unix seconds) that a statement names: each is bound once, under a name of its own."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def parameter(self, second: int) -> str:
        """What stands in the statement, an Int64."""
        name = self._names.setdefault(second, f"m{len(self._names)}")
        return f"{{{name}:Int64}}"

    @property
    def bound(self) -> dict[str, int]:
        """Values by name."""
        return {name: second for second, name in self._names.items()}


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time in the fewest spans, in order."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def within(column: str, own: Sequence[Span], known: Sequence[Span], moment: Callable[[int], str]) -> str:
    """SQL: whether `column` lies in one of `own`, where it is known to lie in one of `known` (none: nothing is known).

    Both are merged, and `own` a part of `known`: what that says already is not asked again, for each comparison costs
    the engine time to read, whatever the number of rows.
    """
    if not own:
        return "0"
    if own == known:
        return "1"
    first, last = (known[0][0], known[-1][1]) if known else (None, None)
    conditions = []
    for start, end in own:
        above = [] if start == first else [f"{column} >= {moment(start)}"]
        below = [] if end == last else [f"{column} < {moment(end)}"]
        conditions.append(" AND ".join(above + below))
    return " OR ".join(conditions)
