"""Which miners are shown, in which order: what stands in the page's URL. static/miners.js keeps the same rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from services.dashboard.miner_cells import COLUMNS
from services.dashboard.miners import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from services.dashboard.miners import Miner

PAGE_ROWS: Final = 100
DEFAULT_SORT: Final = "-hash_rate"
_MOST_LETTERS: Final = 200
_KEYS: Final[dict[str, Callable[[Miner], Any]]] = {
    "worker": lambda miner: miner.worker.casefold(),
    "rejected": lambda miner: miner.rejected_count,
    "rate": lambda miner: miner.accepted / max(1, miner.accepted + miner.rejected_count),
    "state": lambda miner: STATES.index(miner.state),
}


@dataclass(frozen=True, slots=True)
class MinerFilter:
    """`q` is searched in name, address and user agent; `sort` is a column, with a minus in front for descending.

    Without a `state`, those that left are folded: only counted.
    """

    q: str = ""
    pool: str = ""
    state: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> MinerFilter:
        """From a query string; what makes no sense counts as not said."""
        sort, page = asked.get("sort", ""), asked.get("page", "")
        return cls(
            q=asked.get("q", "")[:_MOST_LETTERS],
            pool=asked.get("pool", "")[:_MOST_LETTERS],
            state=asked.get("state", "") if asked.get("state") in (*STATES, "all") else "",
            sort=sort if sort.removeprefix("-") in dict(COLUMNS) else DEFAULT_SORT,
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )

    def url(self, **changes: str | int) -> str:
        """The query string of this filter with changes; a change of anything but the page begins at the first."""
        fields: dict[str, str | int] = {"q": self.q, "pool": self.pool, "state": self.state, "sort": self.sort}
        fields = fields | {"page": self.page} if "page" in changes else fields
        fields |= changes
        said = {name: value for name, value in fields.items() if value not in ("", DEFAULT_SORT, 1)}
        return f"?{urlencode(said)}" if said else "?"

    def chosen(self, miners: Iterable[Miner]) -> Sequence[Miner]:
        """All that match, in order; the page is not cut out yet."""
        words = self.q.casefold()
        found = [miner for miner in miners if self._shows(miner) and (not words or words in _searched(miner))]
        column = self.sort.removeprefix("-")
        key = _KEYS.get(column) or (lambda miner: getattr(miner, column))
        found.sort(key=lambda miner: (miner.worker, miner.pool))
        found.sort(key=key, reverse=self.sort.startswith("-"))
        return found

    def _shows(self, miner: Miner) -> bool:
        if self.pool and miner.pool != self.pool:
            return False
        if not self.state:
            return miner.state != "left"
        return self.state in ("all", miner.state)


def _searched(miner: Miner) -> str:
    addresses = " ".join(one.address for one in miner.connections)
    return f"{miner.worker} {miner.address} {addresses} {miner.user_agent}".casefold()
