"""Settings of the merge miner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.miner.block_file import DEFAULT_BLOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.miner.found_block import FoundBlock


@dataclass(frozen=True, slots=True)
class MinerOptions:
    """Which pool to mine on as whom, and where found blocks go: a JSON file, and ``on_block`` in the event loop."""

    host: str
    port: int
    username: str
    password: str = field(default="x", repr=False)
    block_file: Path = DEFAULT_BLOCK_FILE
    on_block: Callable[[FoundBlock], None] | None = None
    progress_seconds: float = 10.0
    message: bytes = b"sharehouse merge miner"
