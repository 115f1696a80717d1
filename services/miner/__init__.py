"""A merge miner for BTC, RollPoW and Tetra-PoW. Importing it takes the standard library alone."""

from __future__ import annotations

from services.miner.block_file import DEFAULT_BLOCK_FILE, save_block_to_file
from services.miner.chain import Chain
from services.miner.client import AsyncStratumClient
from services.miner.connection import PoolRefusedError
from services.miner.found_block import FoundBlock
from services.miner.merge_miner import AsyncMergeMiner
from services.miner.options import Effort, MinerOptions
from services.miner.tetrapow import tetrapow_hash
from services.stratum.difficulty import bits_to_target
from services.stratum.header import sha256d

__all__ = [
    "DEFAULT_BLOCK_FILE",
    "AsyncMergeMiner",
    "AsyncStratumClient",
    "Chain",
    "Effort",
    "FoundBlock",
    "MinerOptions",
    "PoolRefusedError",
    "bits_to_target",
    "save_block_to_file",
    "sha256d",
    "tetrapow_hash",
]
