"""Parts of `shares` that move between volumes at this moment, the room on the disks, and the last audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.warehouse.audit_record import LAST_AUDIT_SQL, AuditSummary, audit_summary

if TYPE_CHECKING:
    from services.warehouse.analysis import Analysis

_MOVES: Final = """\
SELECT part_name, part_size, target_disk_name, elapsed FROM system.moves
WHERE database = currentDatabase() AND table = 'shares' ORDER BY part_name LIMIT 100"""
_DISKS: Final = """\
SELECT name, type, free_space, total_space FROM system.disks WHERE name IN
(
    SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name = 'tiered' AND volume_name = 'hot'
)
ORDER BY name"""


@dataclass(frozen=True, slots=True)
class Move:
    part: str
    size_bytes: int
    target: str
    """The disk that it goes to."""
    seconds: float
    """For how long it has been moving."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A local disk of the volume hot."""

    name: str
    kind: str
    free_bytes: int
    total_bytes: int


async def moves(analysis: Analysis) -> tuple[Move, ...]:
    """Raises StoreUnavailable; so do the others here."""
    return tuple(Move(part, size, target, seconds) for part, size, target, seconds in await analysis.rows(_MOVES, {}))


async def hot_disks(analysis: Analysis) -> tuple[Disk, ...]:
    """Where new shares are written."""
    return tuple(Disk(name, kind, free, total) for name, kind, free, total in await analysis.rows(_DISKS, {}))


async def latest_audit(analysis: Analysis) -> AuditSummary | None:
    """The audit that was begun last, of those that came to their end; None before the first."""
    rows = await analysis.rows(LAST_AUDIT_SQL, {})
    return audit_summary(rows[0]) if rows else None
