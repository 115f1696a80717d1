"""How mining goes, in one line."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, TextIO

from services.miner import wording
from services.miner.rate import Rate
from services.stratum.difficulty import difficulty_of

if TYPE_CHECKING:
    from services.miner.merge_miner import AsyncMergeMiner

_HASHES_AT_DIFFICULTY_1 = 2.0**32
_CLEAR = "\r\x1b[K"


class StatusLine:
    """Tells rate, shares, best share, difficulty, and how long a share and a block take at that rate."""

    def __init__(self, miner: AsyncMergeMiner) -> None:
        self._miner = miner
        self._rate = Rate(miner.trials, time.monotonic())

    def text(self, columns: int | None = None) -> str:
        """The line as of now; where it is longer than ``columns``, a shorter one."""
        rate = self._rate.note(self._miner.trials, time.monotonic())
        line = self._long(rate)
        return line if columns is None or len(line) <= columns else self._short(rate)[:columns]

    def _long(self, rate: float) -> str:
        miner, client = self._miner, self._miner.stratum_client
        chains = "+".join(chain.label for chain in miner.chains)
        shares = client.shares
        parts = [
            f"{wording.hash_rate(rate)} on {chains}",
            f"shares {shares.accepted} accepted, {shares.rejected} rejected ({shares.stale} stale)",
            f"best {wording.difficulty(miner.best_share)}",
        ]
        job = client.job
        if job is None:
            parts.append("no job" if client.connected else "pool away")
        else:
            network = difficulty_of(job.network_target)
            parts += [
                f"difficulty {wording.difficulty(job.difficulty)}, a share in {_expected(job.difficulty, rate)}",
                f"a block in {_expected(network, rate)}",
            ]
        return " | ".join(parts)

    def _short(self, rate: float) -> str:
        miner, client = self._miner, self._miner.stratum_client
        shares, job = client.shares, client.job
        parts = [
            wording.hash_rate(rate),
            f"+{shares.accepted} -{shares.rejected}",
            f"best {wording.difficulty(miner.best_share)}",
        ]
        if job is None:
            parts.append("no job" if client.connected else "pool away")
        else:
            network = difficulty_of(job.network_target)
            parts.append(f"of {wording.difficulty(job.difficulty)} in {_expected(job.difficulty, rate)}")
            parts.append(f"block {_expected(network, rate)}")
        return " | ".join(parts)


class LiveLine:
    """The status line at the bottom of a terminal: rewritten in place, above it the log goes on."""

    def __init__(self, status: StatusLine, stream: TextIO | None = None) -> None:
        self._status = status
        self._stream = stream or sys.stderr

    def __enter__(self) -> LiveLine:
        self._handlers = [
            one
            for one in logging.getLogger().handlers
            if isinstance(one, logging.StreamHandler) and one.stream is self._stream
        ]
        for handler in self._handlers:
            handler.addFilter(self._clear)
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            handler.removeFilter(self._clear)
            handler.terminator = "\n"
        self._stream.write(_CLEAR)
        self._stream.flush()

    def draw(self, columns: int) -> None:
        """Writes the line as of now, no longer than the terminal is wide."""
        text = self._status.text(max(columns - 1, 1))
        self._stream.write(_CLEAR + text)
        self._stream.flush()
        for handler in self._handlers:
            handler.terminator = "\n" + text  # so that it stands below each line of the log at once

    def _clear(self, record: logging.LogRecord) -> bool:
        self._stream.write(_CLEAR)
        self._stream.flush()
        return True


def _expected(difficulty: float, rate: float) -> str:
    return wording.duration(difficulty * _HASHES_AT_DIFFICULTY_1 / rate) if rate else "unknown time"
