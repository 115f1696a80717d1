"""The figures on top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.dashboard import quantities
from services.dashboard.miner_cells import rejected_words
from services.dashboard.view import Cell

if TYPE_CHECKING:
    from services.dashboard.figures import Figures

# Name of the cell, label, and the words before the smaller line (cell NAME_under).
TILES = (
    ("hash_rate", "Hash rate, 5 min", "60 min:"),
    ("connected", "Active miners", "of"),
    ("shares", "Accepted, 24 h", "last:"),
    ("acceptance", "Accept rate, 24 h", "refused:"),
    ("spool", "Shares in the spool", "oldest:"),
    ("best", "Best share, 24 h", "by"),
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
    refused = rejected_words(totals.rejected_by_reason)
    living = len({proxy.proxy for proxy in figures.proxies if proxy.alive})
    of = (quantities.plural(len(figures.miners), "worker"), quantities.plural(figures.connections, "connection"))
    return {
        "at": Cell(f"As of {quantities.utc(figures.at)}"),
        "hash_rate": Cell(quantities.hash_rate(totals.hash_rate_5m), f"{quantities.exact(totals.hash_rate_5m)} H/s"),
        "hash_rate_under": Cell(
            quantities.hash_rate(totals.hash_rate_60m), f"{quantities.exact(totals.hash_rate_60m)} H/s"
        ),
        "connected": Cell(quantities.count(figures.active), "Workers with an accepted share in the last 10 minutes"),
        "connected_under": Cell(
            ", ".join(of),
            f"Workers connected or seen in 24 hours; connections to living proxies, of which there are {living}",
        ),
        "shares": Cell(quantities.count(totals.accepted), f"{totals.accepted:,}"),
        "shares_under": Cell.ago(last, figures.at) if last else Cell("none yet"),
        "acceptance": Cell(quantities.percent(totals.accepted, totals.accepted + totals.rejected)),
        "acceptance_under": Cell(refused, refused),
        **_spool(figures),
        **_best(figures),
    }


def _spool(figures: Figures) -> dict[str, Cell]:
    """What waits on the proxies' disks for the database."""
    living = [proxy for proxy in figures.proxies if proxy.alive]
    if not living:
        return {"spool": Cell("–", "No proxy lives"), "spool_under": Cell("not known")}
    rows, size = sum(proxy.spool_rows for proxy in living), sum(proxy.spool_bytes for proxy in living)
    oldest = max(proxy.spool_oldest_age_seconds for proxy in living)
    return {
        "spool": Cell(quantities.count(rows), f"{rows:,} rows, {size:,} bytes, wait for the database"),
        "spool_under": Cell(quantities.duration(oldest) if rows else "none waits"),
    }


def _best(figures: Figures) -> dict[str, Cell]:
    best = max(figures.miners, key=lambda miner: miner.best, default=None)
    if best is None or not best.best:
        return {"best": Cell("–", "No share was accepted"), "best_under": Cell("nobody yet")}
    return {"best": Cell(quantities.si(best.best), quantities.exact(best.best)), "best_under": Cell(best.worker)}
