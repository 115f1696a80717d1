"""Which code suits the CPU that this runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import llvmlite.binding as llvm

from services.miner.chain import Chain
from services.miner.kernels.lanes import BitcoinLanes, RollPowLanes, TetraPowLanes
from services.miner.kernels.sha_extensions import BitcoinShaExtensions, RollPowShaExtensions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.miner.kernels.pass_function import Proof

_SHA_LANES = 4
"""Measured: four registers' worth of states hide all latency; two give three quarters of the rate, six spill."""
_NAMED = {"avx512f": "AVX-512", "avx2": "AVX2", "sha": "SHA extensions", "sse2": "SSE2", "neon": "NEON"}


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU as LLVM knows it; ``features`` are those that it has."""

    name: str
    architecture: str
    features: frozenset[str]

    @classmethod
    def host(cls) -> Cpu:
        """The one that runs this."""
        found = llvm.get_host_cpu_features()
        architecture = llvm.get_process_triple().partition("-")[0]
        return cls(llvm.get_host_cpu_name(), architecture, frozenset(name for name, has in found.items() if has))

    @property
    def description(self) -> str:
        """For people: its name, and what of it matters here."""
        named = [title for name, title in _NAMED.items() if name in self.features]
        return f"{self.name} ({', '.join(named) or 'no vectors known'})"

    @property
    def lanes(self) -> int:
        """32-bit words in its widest vector."""
        if "avx512f" in self.features:
            return 16
        return 8 if "avx2" in self.features else 4

    @property
    def has_sha_extensions(self) -> bool:
        """Intel's; those of ARM are others."""
        return self.architecture == "x86_64" and {"sha", "ssse3", "sse4.1"} <= self.features

    def feature_text(self) -> str:
        """For LLVM. Some CPUs with 512-bit vectors are said to prefer half as many bits: not for this."""
        return ",".join(
            [*(f"+{name}" for name in sorted(self.features)), *(["-prefer-256-bit"] if self.lanes == 16 else [])]
        )


def proofs_for(cpu: Cpu) -> Mapping[Chain, Proof]:
    """The fastest code for each chain: vectors of 16 lanes, else the SHA extensions, else narrower vectors."""
    lanes = cpu.lanes
    if cpu.has_sha_extensions and lanes < 16:
        return {
            Chain.BTC: BitcoinShaExtensions(_SHA_LANES),
            Chain.ROLLPOW: RollPowShaExtensions(_SHA_LANES),
            Chain.TETRAPOW: TetraPowLanes(lanes),
        }
    return {Chain.BTC: BitcoinLanes(lanes), Chain.ROLLPOW: RollPowLanes(lanes), Chain.TETRAPOW: TetraPowLanes(lanes)}
