"""Settings of the demo pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.stratum.version import GENERAL_PURPOSE_MASK

if TYPE_CHECKING:
    from pathlib import Path

    from services.demo.full_node import NodeAddress


@dataclass(frozen=True, slots=True)
class DemoPoolOptions:
    """Where the pool listens and keeps its files, and how hard its work is.

    ``data`` holds ``accepted.log`` and ``chain.json``. Vardiff gives each connection 1 to 5 shares a second between
    ``minimum_difficulty`` and a sixteenth of the network difficulty; ``fixed_difficulty`` turns it off. Blocks come
    about every ``block_seconds`` at the rate that shares prove; ``network_difficulty`` fixes the chain's instead. With
    ``node`` the chain is that full node's: its templates, its difficulty, and blocks are handed to it.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 13333
    start_difficulty: float = 2.0**-20
    minimum_difficulty: float = 2.0**-24
    fixed_difficulty: float | None = None
    block_seconds: float = 60.0
    network_difficulty: float | None = None
    refresh_seconds: float = 30.0
    merkle_branches: int = 4
    extranonce2_size: int = 8
    version_mask: int = GENERAL_PURPOSE_MASK
    max_connections: int = 20_000
    node: NodeAddress | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.merkle_branches <= 12:
            raise ValueError(f"merkle_branches is between 0 and 12, not {self.merkle_branches}")
        if not 1 <= self.extranonce2_size <= 16:
            raise ValueError(f"extranonce2_size is between 1 and 16, not {self.extranonce2_size}")
