"""What the API says of one share, wherever it names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.tests.warehouse.rows import display_hash

if TYPE_CHECKING:
    from uuid import UUID

    from services.warehouse.records import Share


def said(share: Share, segment: UUID, seq: int) -> dict[str, Any]:
    """Its fields, by the contract."""
    return {
        "id": f"{segment}-{seq}",
        "timestamp": share.ts_ms // 1000,
        "timestamp_ms": share.ts_ms,
        "miner": share.miner,
        "worker": share.worker,
        "pool": share.pool,
        "pool_label": share.pool_label,
        "pool_difficulty": share.pool_difficulty,
        "pool_requested_difficulty": share.pool_requested_difficulty,
        "actual_difficulty": share.actual_difficulty,
        "block_hash": display_hash(share.header),
    }
