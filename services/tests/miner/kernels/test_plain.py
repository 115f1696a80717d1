from __future__ import annotations

import random

import pytest

from services.miner.chain import Chain
from services.miner.kernels.plain import HashlibKernel, HashlibKernels
from services.miner.kernels.scan import NONCES, Hit, proof_of_work
from services.miner.tetrapow import LANES
from services.stratum.difficulty import MAX_TARGET, bits_to_target, hash_value
from services.tests.stratum.blocks import REAL_BLOCKS, RealBlock


def by_definition(prefix: bytes, targets: dict[Chain, int], first: int, count: int) -> list[Hit]:
    hits = []
    for nonce in range(first, first + count):
        for chain, target in targets.items():
            block_hash = proof_of_work(chain, prefix + nonce.to_bytes(4, "little"))
            if hash_value(block_hash) <= target:
                hits.append(Hit(chain, int.from_bytes(prefix[:4], "little"), nonce, block_hash))
    return hits


@pytest.mark.parametrize(("first", "count"), [(0, 1), (7, 150), (NONCES - LANES - 5, 150), (NONCES - 3, 3)])
def test_one_pass_finds_what_the_definition_finds(first: int, count: int) -> None:
    prefix = random.Random(first).randbytes(76)
    targets = {Chain.BTC: 1 << 251, Chain.ROLLPOW: 1 << 252, Chain.TETRAPOW: 1 << 253}
    scan = HashlibKernel(prefix, targets).scan(first, count)
    assert scan.nonces == count
    assert list(scan.hits) == by_definition(prefix, targets, first, count)


def test_a_long_pass_counts_its_trials() -> None:
    targets = dict.fromkeys(Chain, 1 << 244)
    prefix = random.Random(5).randbytes(76)
    scan = HashlibKernel(prefix, targets).scan(100, 3 * LANES + 1)
    assert scan.nonces == 3 * LANES + 1
    assert list(scan.hits) == by_definition(prefix, targets, 100, 3 * LANES + 1)


@pytest.mark.parametrize("chain", list(Chain))
def test_a_target_is_inclusive(chain: Chain) -> None:
    prefix = random.Random(9).randbytes(76)
    value = hash_value(proof_of_work(chain, prefix + (77).to_bytes(4, "little")))
    assert [hit.chain for hit in HashlibKernel(prefix, {chain: value}).scan(77, 1).hits] == [chain]
    assert HashlibKernel(prefix, {chain: value - 1}).scan(77, 1).hits == ()


def test_where_everything_hits_the_pass_ends_early_and_says_so() -> None:
    scan = HashlibKernel(bytes(76), dict.fromkeys(Chain, MAX_TARGET)).scan(0, 100_000)
    assert scan.nonces == LANES
    assert len(scan.hits) == 3 * LANES


def test_nonces_end_at_two_to_the_32() -> None:
    assert HashlibKernel(bytes(76), {Chain.BTC: 0}).scan(NONCES - 10, 1000).nonces == 10


def test_a_prefix_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="76 bytes"):
        HashlibKernels().kernel(bytes(80), {}, (1,))


@pytest.mark.parametrize("block", REAL_BLOCKS, ids=lambda block: str(block.height))
def test_real_blocks_are_found_again(block: RealBlock) -> None:
    nonce = int.from_bytes(block.header[76:], "little")
    target = bits_to_target(block.header[72:76][::-1])
    first = max(nonce - 700, 0)
    scan = HashlibKernel(block.header[:76], {Chain.BTC: target}).scan(first, 1400)
    assert [(hit.nonce, hit.hash[::-1].hex()) for hit in scan.hits] == [(nonce, block.hash)]


def test_targets_of_the_three_chains() -> None:
    assert [chain.target(1000) for chain in Chain] == [1000, 2000, 4000]
    assert [chain.target(1 << 255) for chain in Chain] == [1 << 255, MAX_TARGET, MAX_TARGET]
    assert [chain.label for chain in Chain] == ["BTC", "RollPoW", "Tetra-PoW"]


def test_rollpow_hashes_the_header_reversed_byte_by_byte() -> None:
    header = bytes(range(80))
    assert proof_of_work(Chain.ROLLPOW, header) == proof_of_work(Chain.BTC, bytes(79 - i for i in range(80)))
