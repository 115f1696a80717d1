"""Which workers are listed, in which order: what stands in the list's URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from services.warehouse.worker_history import NamedWorker

COLUMNS: Final = (
    ("worker", "Worker"),
    ("hash_rate", "Mean hash rate"),
    ("part", "Part of all"),
    ("accepted", "Accepted"),
    ("refused", "Rejected"),
    ("rate", "Accept rate"),
    ("best", "Best share"),
    ("last", "Last accepted share"),
)
_MOST_LETTERS: Final = 200
_KEYS: Final[dict[str, Callable[[NamedWorker], Any]]] = {
    "worker": lambda one: one.worker.casefold(),
    "rate": lambda one: one.accepted / max(1, one.accepted + one.refused),
}


@dataclass(frozen=True, slots=True)
class WorkerList:
    """`part` is looked for in names; `sort` is a column, with a minus in front for descending."""

    DEFAULT: ClassVar[str] = "-hash_rate"
    period: str = ""
    part: str = ""
    sort: str = DEFAULT

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> WorkerList:
        """From a query string; an order that makes no sense counts as not said."""
        sort = asked.get("sort", "")
        return cls(
            asked.get("period", ""),
            asked.get("q", "")[:_MOST_LETTERS],
            sort if sort.removeprefix("-") in dict(COLUMNS) else cls.DEFAULT,
        )

    def query(self, **changes: str) -> str:
        """The query string of this list with changes."""
        fields = {"period": self.period, "q": self.part, "sort": self.sort} | changes
        return urlencode({name: value for name, value in fields.items() if value not in ("", self.DEFAULT)})

    def ordered(self, workers: Iterable[NamedWorker]) -> list[NamedWorker]:
        """In the order asked for; equal ones by name."""
        column = self.sort.removeprefix("-")
        key = _KEYS.get(column) or (lambda one: getattr(one, column))
        by_name = sorted(workers, key=lambda one: one.worker)
        return sorted(by_name, key=key, reverse=self.sort.startswith("-"))
