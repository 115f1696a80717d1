"""The four figures on top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.dashboard import quantities
from services.dashboard.miners import rejected
from services.dashboard.view import Cell
from services.warehouse.queries import MinerTotals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.dashboard.miners import Miner

# Name of the cell, label, and the words before the smaller line (cell NAME_under).
TILES = (
    ("hash_rate", "Hash rate, 5 min", "60 min:"),
    ("active", "Active miners", "of"),
    ("shares", "Accepted shares, 24 h", "last:"),
    ("acceptance", "Acceptance rate, 24 h", "refused:"),
)
_UNKNOWN = Cell("–", "Not known: the database has not been reached yet")


def tile_cells(miners: Sequence[Miner], at: int | None) -> dict[str, Cell]:
    """The tiles' cells at `at` (unix seconds), or dashes if nothing is known yet."""
    if at is None:
        return {f"{name}{part}": _UNKNOWN for name, *_ in TILES for part in ("", "_under")} | {
            "at": Cell("Database away")
        }
    totals = MinerTotals.of(row for miner in miners for row in miner.connections)
    last = int(totals.last_share)
    return {
        "at": Cell(f"As of {quantities.utc(at)}"),
        "hash_rate": Cell(quantities.hash_rate(totals.hash_rate_5m), f"{quantities.exact(totals.hash_rate_5m)} H/s"),
        "hash_rate_under": Cell(
            quantities.hash_rate(totals.hash_rate_60m), f"{quantities.exact(totals.hash_rate_60m)} H/s"
        ),
        "active": Cell(str(sum(miner.ok for miner in miners)), "With an accepted share in the last 10 minutes"),
        "active_under": Cell(f"{quantities.count(len(miners))} seen in 24 h"),
        "shares": Cell(quantities.count(totals.accepted), f"{totals.accepted:,}"),
        "shares_under": Cell.ago(last, at) if last else Cell("none yet"),
        "acceptance": Cell(quantities.percent(totals.accepted, totals.accepted + totals.rejected)),
        "acceptance_under": Cell(rejected(totals.rejected_by_reason)),
    }
