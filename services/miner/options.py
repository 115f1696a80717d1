"""Settings of the merge miner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.miner.block_file import DEFAULT_BLOCK_FILE
from services.miner.chain import Chain
from services.miner.kernels.object_cache import default_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.miner.found_block import FoundBlock


@dataclass(frozen=True, slots=True)
class Effort:
    """What is mined with what: so many threads, each working ``intensity_percent`` of the time.

    ``in_background`` takes only the processor time that others leave, once there is something to mine. Compiled code is
    kept in the folder ``kernel_cache``, in this user's home by default; made anew at each start where that is None.
    Raises ValueError.
    """

    chains: tuple[Chain, ...] = tuple(Chain)
    threads: int = 1
    intensity_percent: float = 100.0
    in_background: bool = False
    kernel_cache: Path | None = field(default_factory=default_folder)

    def __post_init__(self) -> None:
        if not self.chains:
            raise ValueError("at least one chain is to be mined")
        if not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads are between 1 and {MAX_THREADS}, not {self.threads}")
        if not 1 <= self.intensity_percent <= 100:
            raise ValueError(f"intensity is between 1 and 100 percent, not {self.intensity_percent:g}")


MAX_THREADS = 1024


@dataclass(frozen=True, slots=True)
class MinerOptions:
    """Which pool to mine on as whom, and where found blocks go: a JSON file, and ``on_block`` in the event loop."""

    host: str
    port: int
    username: str
    password: str = field(default="x", repr=False)
    tls: bool = False
    effort: Effort = field(default_factory=Effort)
    block_file: Path = DEFAULT_BLOCK_FILE
    on_block: Callable[[FoundBlock], None] | None = None
    progress_seconds: float = 10.0
    message: bytes = b"sharehouse merge miner"
