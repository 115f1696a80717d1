"""A miner's row as the server writes it; static/miners.js writes the same where there is JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.dashboard import quantities
from services.dashboard.miners import NO_NAME, State
from services.dashboard.view import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.dashboard.miners import Miner

COLUMNS: Final = (
    ("worker", "Miner"),
    ("pool", "Pool"),
    ("state", "State"),
    ("hash_rate", "Hashrate"),
    ("accepted", "Accepted"),
    ("rejected", "Rejected"),
    ("rate", "Accept rate"),
    ("pool_difficulty", "Pool requested"),
    ("difficulty", "Miner difficulty"),
    ("last_share", "Last share"),
    ("best", "Highest"),
    ("user_agent", "User agent"),
    ("connected", "Connected since"),
)
"""Name and label of each that can be sorted by."""
_SHAPES: Final[dict[State, str]] = {"active": "●", "waiting": "○", "silent": "▲", "left": "○"}


def miner_cells(miner: Miner, now: int) -> dict[str, Cell]:
    """Its cells at `now`, unix seconds."""
    times = f" ×{len(miner.connections)}" if miner.connections else ""
    rejected, submitted = miner.rejected_count, miner.rejected_count + miner.accepted
    return {
        "worker": Cell(miner.worker or NO_NAME, miner.address or ", ".join(one.address for one in miner.connections)),
        "pool": Cell(miner.pool),
        "state": Cell(f"{_SHAPES[miner.state]} {miner.state}{times}"),
        "hash_rate": Cell(quantities.hash_rate(miner.hash_rate), f"{quantities.exact(miner.hash_rate)} H/s"),
        "accepted": Cell(quantities.count(miner.accepted), f"{miner.accepted:,}"),
        "rejected": Cell(rejected_words(miner.rejected)),
        "rate": Cell(quantities.percent(miner.accepted, submitted), f"{rejected:,} of {submitted:,} refused"),
        "pool_difficulty": _difficulty(miner.pool_difficulty),
        "difficulty": _difficulty(miner.difficulty),
        "last_share": Cell.ago(miner.last_share, now) if miner.last_share else Cell("none"),
        "best": Cell(quantities.si(miner.best), quantities.exact(miner.best)),
        "user_agent": Cell(miner.user_agent or "–"),
        "connected": Cell.ago(miner.connected, now) if miner.connected else Cell("no"),
    }


def rejected_words(by_reason: Mapping[str, int]) -> str:
    """How many and why: 3 (stale 2, duplicate 1)."""
    if not by_reason:
        return "0"
    ordered = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    words = ", ".join(f"{reason.replace('_', ' ')} {quantities.count(number)}" for reason, number in ordered)
    return f"{quantities.count(sum(by_reason.values()))} ({words})"


def _difficulty(value: float) -> Cell:
    return Cell(quantities.si(value), quantities.exact(value)) if value else Cell("–", "Not known")
