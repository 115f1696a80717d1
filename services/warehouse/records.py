"""The rows that rooms hand to the warehouse: a share, the job it was made for, a block candidate, a block found.

msgspec Structs rather than dataclasses because one Share is made per submit: a frozen dataclass of this width takes
three times as long to make (measured: 4.9 against 1.5 us on a busy machine).

Hashes and headers are in internal byte order (as hashed); only FoundBlock.hash is in display order. Times are unix
milliseconds, difficulties floats that may be below 1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

NO_HEADER = bytes(80)
NO_JOB = bytes(16)

Chain = Literal["BTC", "RollPoW", "Tetra-PoW"]


class Share(Struct, frozen=True, gc=False, kw_only=True):
    """One submitted share and the verdict on it, as table `shares` keeps it."""

    ts_ms: int
    """When it was submitted, unix milliseconds."""
    proxy: str
    """Name of the proxy that took it."""
    pool_label: str
    """Name of the pool's table in the configuration: "normal"."""
    pool: str
    """Upstream address, "host:port"."""
    miner: str
    """Miner's address, "ip:port"."""
    worker: str
    accepted: bool
    reason: str
    """Empty if accepted; else a word of services/stratum/reject.py, with the prefix "pool_" if the pool refused it."""
    pool_difficulty: float
    """Credited difficulty: what the share was checked against."""
    pool_requested_difficulty: float
    actual_difficulty: float
    """0xFFFF * 2^208 / hash; 0 where no header could be rebuilt."""
    job: bytes
    """JobRecord.job of the job it was made for, 16 bytes; NO_JOB where that is not known."""
    job_id: str
    """The job id as the miner submitted it."""
    extranonce1: bytes
    """As the pool sees it."""
    extranonce2: bytes
    """As the pool sees it: whole, with the proxy's prefix in it."""
    header: bytes
    """The 80 bytes that were hashed; NO_HEADER where they could not be rebuilt."""


class JobRecord(Struct, frozen=True, gc=False, kw_only=True):
    """What the pool sent in one mining.notify; with the share's extranonces it gives the share's merkle root."""

    job: bytes
    """16-byte hash of the content; the key in table `jobs` and in every share made for it."""
    pool_label: str
    pool: str
    prevhash: bytes
    """32 bytes in internal order, as they stand in the header."""
    coinbase1: bytes
    coinbase2: bytes
    merkle_branch: tuple[bytes, ...]
    version: int
    nbits: int
    ntime: int
    sent_ms: int
    """When the pool sent it, unix milliseconds."""


class BlockCandidate(Struct, frozen=True, gc=False, kw_only=True):
    """A submitted share that met its job's network target, whatever else was wrong with it.

    Recorded when the share comes, and once more when the pool's verdict is known: a later `updated_ms`, else the same.
    """

    ts_ms: int
    """When it was submitted, unix milliseconds."""
    updated_ms: int
    proxy: str
    pool_label: str
    pool: str
    miner: str
    worker: str
    height: int
    actual_difficulty: float
    network_difficulty: float
    forwarded: bool
    """Whether the pool was sent it."""
    refusal: str
    """What the proxy itself refused the share for: a word of services/stratum/reject.py, or ''."""
    pool_verdict: str
    """"accepted", a pool_ word, or "no_verdict"; '' while it is not known, and where it was not forwarded."""
    job: bytes
    """JobRecord.job of the job it was made for, 16 bytes."""
    job_id: str
    """The job id as the miner submitted it."""
    extranonce1: bytes
    """As the pool sees it, like `extranonce2`."""
    extranonce2: bytes
    header: bytes


class FoundBlock(Struct, frozen=True, gc=False, kw_only=True):
    """A header that met its chain's network target."""

    ts_ms: int
    chain: Chain
    height: int
    nonce: int
    hash: str
    """64 hex digits in display order."""
    header: bytes
    worker: str
    pool: str
