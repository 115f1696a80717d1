"""The synthetic chain: a tip that grows by the blocks that miners find, and templates for the next one."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.demo.coinbase import build_coinbase
from services.demo.durable_file import replace_file
from services.stratum.difficulty import target_of, target_to_bits
from services.stratum.header import display, sha256d
from services.stratum.job import Job

if TYPE_CHECKING:
    from pathlib import Path

FIRST_HEIGHT = 900_000
_GENESIS = sha256d(b"sharehouse demo chain")
_BLOCK_VERSION = 0x2000_0000
# A real chain's limit is difficulty 1; this one must suit a single interpreter.
_EASIEST_TARGET = (1 << 255) - 1


class ChainStateError(ValueError):
    """The state file holds no chain."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """The tip (``tip`` in internal order, ``height`` of that block) and the share rate that its difficulty came from.

    ``work_per_second`` is in difficulty per second: times 2^32 it is a hash rate in H/s.
    """

    height: int
    tip: bytes
    work_per_second: float


@dataclass(frozen=True, slots=True)
class SolvedBlock:
    """A header (80 bytes) that met its job's network target, its hash in internal order, and the whole coinbase."""

    job: Job
    coinbase: bytes
    header: bytes
    hash: bytes


class Chain(Protocol):
    """What the pool builds on."""

    sets_difficulty: bool
    """Whether the pool says how hard a block is."""

    @property
    def state(self) -> ChainState: ...

    def template(
        self, *, network_difficulty: float, merkle_branches: int, extranonce_bytes: int, clean_jobs: bool
    ) -> Job: ...

    def append(self, block: SolvedBlock, work_per_second: float) -> bool: ...

    def remember_rate(self, work_per_second: float) -> None: ...


class SyntheticChain:
    """Keeps its tip in a state file, so that a restart continues at the same height."""

    sets_difficulty = True

    def __init__(self, state_path: Path) -> None:
        """Raises OSError, or ChainStateError where the file is not ours."""
        self._state_path = state_path
        self.state = _load(state_path)
        # Job ids of an earlier run must not be mistaken for ours.
        self._run = secrets.token_hex(3)
        self._templates = 0

    def template(
        self, *, network_difficulty: float, merkle_branches: int, extranonce_bytes: int, clean_jobs: bool
    ) -> Job:
        """A job for the next block: its coinbase and its merkle branch occur in no other template."""
        self._templates += 1
        tag = secrets.token_bytes(8)
        branch = tuple(sha256d(tag + bytes([level])) for level in range(merkle_branches))
        coinbase = build_coinbase(self.state.height + 1, tag, extranonce_bytes, sha256d(tag))
        target = min(target_of(network_difficulty), _EASIEST_TARGET)
        return Job(
            job_id=f"{self._run}{self._templates:04x}",
            prevhash=self.state.tip,
            coinbase1=coinbase.coinbase1,
            coinbase2=coinbase.coinbase2,
            merkle_branch=branch,
            version=_BLOCK_VERSION,
            nbits=int.from_bytes(target_to_bits(target), "big"),
            ntime=int(time.time()),
            clean_jobs=clean_jobs,
        )

    def append(self, block: SolvedBlock, work_per_second: float) -> bool:
        """Makes a block the tip, on disk before it returns; True. Raises OSError; the tip is then the old one."""
        state = ChainState(self.state.height + 1, block.hash, work_per_second)
        self._store(state)
        self.state = state
        return True

    def remember_rate(self, work_per_second: float) -> None:
        """Keeps the share rate for the next start. Raises OSError."""
        state = ChainState(self.state.height, self.state.tip, work_per_second)
        self._store(state)
        self.state = state

    def _store(self, state: ChainState) -> None:
        content = {"height": state.height, "tip": display(state.tip), "work_per_second": state.work_per_second}
        replace_file(self._state_path, json.dumps(content).encode() + b"\n")


def _load(path: Path) -> ChainState:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ChainState(FIRST_HEIGHT - 1, _GENESIS, 0.0)
    except ValueError as error:
        raise _state_error(path) from error
    try:
        state = ChainState(
            int(content["height"]), bytes.fromhex(content["tip"])[::-1], float(content["work_per_second"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _state_error(path) from error
    if len(state.tip) != 32 or not 0 <= state.height < 2**31 - 1 or not 0 <= state.work_per_second < 1e12:
        raise _state_error(path)
    return state


def _state_error(path: Path) -> ChainStateError:
    return ChainStateError(f"{path} does not hold the demo pool's chain: move it away to start a new chain")
