"""Whether the hits of the mining threads are as many, and as evenly spread, as the headers that they say they tried.

The threads mine as they do for a pool, with versions rolled; from time to time they are stopped, and both counts read.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.bench.mining_latency import synthetic_job
from services.miner import Chain
from services.miner.mining_job import Work
from services.miner.mining_threads import MiningThreads

if TYPE_CHECKING:
    from services.miner.kernel_source import KernelSource
    from services.miner.kernels.scan import Hit

# Of Bitcoin's hashes, one in 2^15 meets it, of the others two and four.
_NBITS = 0x1F020000
_SLICE_SECONDS = 0.25
_LEAST_EXPECTED = 20.0
_THREADS = 2


@dataclass(slots=True)
class Claim:
    """What was found of a chain, against what the headers tried promise, in all and slice by slice."""

    hits: int = 0
    expected: float = 0.0
    slices: int = 0
    chi_square: float = 0.0

    def add(self, hits: int, expected: float) -> None:
        """Takes a slice."""
        self.hits += hits
        self.expected += expected
        self.slices += 1
        self.chi_square += (hits - expected) ** 2 / expected

    @property
    def chance_of_spread(self) -> float:
        """The chance of a chi-square as high; 1 and 0 are equally suspect."""
        # Wilson and Hilferty: the cube root of a chi-square is nearly normal.
        spread = 2 / (9 * self.slices)
        return _above(((self.chi_square / self.slices) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))

    @property
    def chance_of_count(self) -> float:
        """The chance of as many hits or more."""
        return _above((self.hits - self.expected) / math.sqrt(self.expected))

    @property
    def holds(self) -> bool:
        """False by bad luck once in 2,500 times."""
        return all(0.0001 < chance < 0.9999 for chance in (self.chance_of_spread, self.chance_of_count))


@dataclass(slots=True)
class _Counter:
    hits: dict[Chain, int] = field(default_factory=lambda: dict.fromkeys(Chain, 0))

    async def take(self, work: Work, hits: tuple[Hit, ...]) -> None:
        for hit in hits:
            self.hits[hit.chain] += 1


async def claims(source: KernelSource, seconds: float) -> dict[Chain, Claim]:
    """Mines for so long in all."""
    counter, result = _Counter(), {chain: Claim() for chain in Chain}
    threads = MiningThreads(
        source, lambda job: Work.first(job, secrets.token_bytes(8)), counter.take, chains=tuple(Chain), threads=_THREADS
    )
    running = asyncio.create_task(threads.run())
    targets = synthetic_job(0, _NBITS).targets()
    tried = 0
    for number in range(max(8, round(seconds / _SLICE_SECONDS))):
        threads.mine(synthetic_job(number, _NBITS))
        await asyncio.sleep(_SLICE_SECONDS)
        threads.mine(None)
        while not threads.is_idle:  # noqa: ASYNC110 (the threads tell nobody)
            await asyncio.sleep(0.001)
        headers = threads.trials - tried
        expected = {chain: headers * (target + 1) / 2**256 for chain, target in targets.items()}
        if expected[Chain.BTC] < _LEAST_EXPECTED:  # on a busy machine a slice takes longer
            continue
        for chain, claim in result.items():
            claim.add(counter.hits[chain], expected[chain])
        tried, counter.hits = threads.trials, dict.fromkeys(Chain, 0)
    threads.stop()
    await running
    return result


def _above(deviation: float) -> float:
    return math.erfc(deviation / math.sqrt(2)) / 2
