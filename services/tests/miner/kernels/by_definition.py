"""What a pass must find, one header at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.miner.kernels.scan import Hit, proof_of_work, with_version
from services.stratum.difficulty import hash_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.miner.chain import Chain


def hits(prefix: bytes, targets: Mapping[Chain, int], versions: tuple[int, ...], nonces: Iterable[int]) -> set[Hit]:
    found = set()
    for nonce in nonces:
        for version in versions:
            header = with_version(prefix, version) + nonce.to_bytes(4, "little")
            for chain, target in targets.items():
                block_hash = proof_of_work(chain, header)
                if hash_value(block_hash) <= target:
                    found.add(Hit(chain, version, nonce, block_hash))
    return found
