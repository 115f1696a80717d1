"""The four figures on top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.dashboard import quantities
from services.dashboard.miners import rejected
from services.dashboard.view import Cell

if TYPE_CHECKING:
    from services.dashboard.figures import Figures

# Name of the cell, label, and the words before the smaller line (cell NAME_under).
TILES = (
    ("hash_rate", "Hash rate, 5 min", "60 min:"),
    ("connected", "Connected miners", "active:"),
    ("shares", "Accepted shares, 24 h", "last:"),
    ("acceptance", "Acceptance rate, 24 h", "refused:"),
)
_UNKNOWN = Cell("–", "Not known: the database has not been reached yet")


def tile_cells(figures: Figures | None) -> dict[str, Cell]:
    """The tiles' cells, or dashes if nothing is known yet."""
    if figures is None:
        return {f"{name}{part}": _UNKNOWN for name, *_ in TILES for part in ("", "_under")} | {
            "at": Cell("Database away")
        }
    totals = figures.totals
    last = int(totals.last_share)
    living = len({proxy.proxy for proxy in figures.proxies if proxy.alive})
    return {
        "at": Cell(f"As of {quantities.utc(figures.at)}"),
        "hash_rate": Cell(quantities.hash_rate(totals.hash_rate_5m), f"{quantities.exact(totals.hash_rate_5m)} H/s"),
        "hash_rate_under": Cell(
            quantities.hash_rate(totals.hash_rate_60m), f"{quantities.exact(totals.hash_rate_60m)} H/s"
        ),
        "connected": Cell(
            quantities.count(figures.connections), f"Connections to living proxies, of which there are {living}"
        ),
        "connected_under": Cell(
            f"{quantities.count(figures.active)} of {quantities.plural(len(figures.miners), 'worker')}",
            "Workers with an accepted share in the last 10 minutes, of those connected or seen in 24 hours",
        ),
        "shares": Cell(quantities.count(totals.accepted), f"{totals.accepted:,}"),
        "shares_under": Cell.ago(last, figures.at) if last else Cell("none yet"),
        "acceptance": Cell(quantities.percent(totals.accepted, totals.accepted + totals.rejected)),
        "acceptance_under": Cell(rejected(totals.rejected_by_reason)),
    }
