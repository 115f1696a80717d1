"""The compiled passes against the definition: every lane, every version, the edges of targets and of the nonces.

Code for vectors wider than this CPU's is split by LLVM into several of its own, so that all widths are tried
everywhere; what needs the SHA extensions is tried where the CPU has them (and before its first use on any machine).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from services.miner.chain import Chain
from services.miner.kernels.compiled_kernel import CompiledKernels, WrongCodeError, _try, compile_kernels
from services.miner.kernels.compiler import CompiledPass, compiled
from services.miner.kernels.cpu import Cpu, proofs_for
from services.miner.kernels.lanes import BitcoinLanes, RollPowLanes, TetraPowLanes
from services.miner.kernels.object_cache import ObjectCache
from services.miner.kernels.pass_function import MAX_VERSIONS
from services.miner.kernels.plain import HashlibKernel
from services.miner.kernels.scan import NONCES, with_version
from services.miner.kernels.sha_extensions import BitcoinShaExtensions, RollPowShaExtensions
from services.stratum.difficulty import MAX_TARGET, bits_to_target, hash_value
from services.tests.miner.kernels import by_definition
from services.tests.stratum.blocks import REAL_BLOCKS, RealBlock

if TYPE_CHECKING:
    from pathlib import Path

    from services.miner.kernels.pass_function import Proof

CPU = Cpu.host()
PROOFS: list[Proof] = [
    BitcoinLanes(16),
    RollPowLanes(8),
    TetraPowLanes(8),
    TetraPowLanes(16),
    BitcoinLanes(4),
    *(
        kind(lanes)
        for kind in (BitcoinShaExtensions, RollPowShaExtensions)
        for lanes in (2, 4)
        if CPU.has_sha_extensions
    ),
]
VERSIONS = tuple(0x20000000 | bits << 13 for bits in (0, 1, 0xFFFF, 0x8000, 5, 6, 7, 8))
_made: dict[Proof, CompiledPass] = {}


def title(proof: Any) -> str:
    return f"{type(proof).__name__}-{proof.lanes}"


def kernels(proof: Proof) -> CompiledKernels:
    """Compiled once for all tests."""
    if proof not in _made:
        _made[proof] = compiled(proof, CPU, ObjectCache(None))
    return CompiledKernels({proof.chain: _made[proof]}, "")


@pytest.mark.parametrize("proof", PROOFS, ids=title)
class TestEveryWidth:
    def test_every_lane_and_version_wherever_the_pass_begins(self, proof: Proof) -> None:
        chance = random.Random(title(proof))
        for versions in (VERSIONS, VERSIONS[:1], VERSIONS[:3]):
            prefix = chance.randbytes(76)
            for first in (0, chance.randrange(NONCES - 100), NONCES - 2 * proof.lanes - 3):
                count = 2 * proof.lanes + 3
                scan = kernels(proof).kernel(prefix, {proof.chain: MAX_TARGET}, versions).scan(first, count)
                nonces = range(first, first + scan.nonces)
                assert proof.lanes <= scan.nonces <= count
                assert set(scan.hits) == by_definition.hits(prefix, {proof.chain: MAX_TARGET}, versions, nonces)
                assert len(scan.hits) == scan.nonces * len(versions), "none twice"

    def test_hits_among_many(self, proof: Proof) -> None:
        chance = random.Random(title(proof))
        prefix, first, count, target = chance.randbytes(76), chance.randrange(1 << 31), 2003, 1 << 249
        targets = {proof.chain: target}
        scan = kernels(proof).kernel(prefix, targets, VERSIONS[:2]).scan(first, count)
        assert scan.nonces == count
        expected = set()
        for version in VERSIONS[:2]:
            plain = HashlibKernel(with_version(prefix, version), targets)
            done = 0
            while done < count:  # it ends early after 64 hits
                part = plain.scan(first + done, count - done)
                expected |= set(part.hits)
                done += part.nonces
        assert set(scan.hits) == expected
        assert [hit.nonce for hit in scan.hits] == sorted(hit.nonce for hit in scan.hits)

    def test_a_target_is_inclusive_to_its_last_bit(self, proof: Proof) -> None:
        prefix = random.Random(title(proof)).randbytes(76)
        made = kernels(proof)
        # A hundred random hashes: so the top word's own edge is tried on either side, too.
        everything = made.kernel(prefix, {proof.chain: MAX_TARGET}, VERSIONS[:1]).scan(77, 100)
        for hit in everything.hits:
            value = hash_value(hit.hash)
            assert made.kernel(prefix, {proof.chain: value}, VERSIONS[:1]).scan(hit.nonce, 1).hits == (hit,)
            assert made.kernel(prefix, {proof.chain: value - 1}, VERSIONS[:1]).scan(hit.nonce, 1).hits == ()

    def test_it_passes_its_own_trial(self, proof: Proof) -> None:
        _try(proof.chain, kernels(proof).passes[proof.chain])

    def test_code_for_another_chain_does_not(self, proof: Proof) -> None:
        others = [chain for chain in Chain if chain is not proof.chain]
        with pytest.raises(WrongCodeError):
            _try(others[0], kernels(proof).passes[proof.chain])


@pytest.fixture(scope="module")
def fastest(tmp_path_factory: pytest.TempPathFactory) -> CompiledKernels:
    return compile_kernels(Chain, ObjectCache(tmp_path_factory.mktemp("cache")))


def test_three_chains_in_one_pass(fastest: CompiledKernels) -> None:
    prefix = random.Random(3).randbytes(76)
    targets = {Chain.BTC: 1 << 249, Chain.ROLLPOW: 1 << 250, Chain.TETRAPOW: 1 << 251}
    scan = fastest.kernel(prefix, targets, VERSIONS).scan(1000, 77)
    assert scan.nonces == 77
    assert set(scan.hits) == by_definition.hits(prefix, targets, VERSIONS, range(1000, 1077))


def test_a_million_hashes_of_random_headers(fastest: CompiledKernels) -> None:
    chance = random.Random(6)
    targets = {Chain.BTC: 1 << 245, Chain.ROLLPOW: 1 << 246, Chain.TETRAPOW: 1 << 247}
    hits = 0
    for _ in range(20):
        prefix, first = chance.randbytes(76), chance.randrange(NONCES - 10_000)
        scan = fastest.kernel(prefix, targets, VERSIONS[:2]).scan(first, 8500)
        expected = [HashlibKernel(with_version(prefix, one), targets).scan(first, 8500) for one in VERSIONS[:2]]
        assert [scan.nonces, *(one.nonces for one in expected)] == [8500] * 3
        assert set(scan.hits) == {hit for one in expected for hit in one.hits}
        hits += len(scan.hits)
    assert hits > 500, "1,162 are expected"


@pytest.mark.parametrize("chain", list(Chain))
def test_where_one_chain_hits_all_the_time_all_end_together(fastest: CompiledKernels, chain: Chain) -> None:
    prefix = random.Random(4).randbytes(76)
    targets = {other: MAX_TARGET if other is chain else 1 << 251 for other in Chain}
    scan = fastest.kernel(prefix, targets, VERSIONS[:2]).scan(5, 100_000)
    assert 0 < scan.nonces < 200
    assert set(scan.hits) == by_definition.hits(prefix, targets, VERSIONS[:2], range(5, 5 + scan.nonces))


def test_nonces_end_at_two_to_the_32(fastest: CompiledKernels) -> None:
    kernel = fastest.kernel(bytes(76), {Chain.BTC: MAX_TARGET, Chain.TETRAPOW: 0}, VERSIONS[:1])
    scan = kernel.scan(NONCES - 5, 1000)
    assert scan.nonces == 5
    assert [hit.nonce for hit in scan.hits] == list(range(NONCES - 5, NONCES))


def test_more_versions_than_fit_are_left_away(fastest: CompiledKernels) -> None:
    assert len(fastest.kernel(bytes(76), {Chain.BTC: 1}, tuple(range(100))).versions) == MAX_VERSIONS


@pytest.mark.parametrize("block", REAL_BLOCKS, ids=lambda block: str(block.height))
def test_real_blocks_are_found_again(fastest: CompiledKernels, block: RealBlock) -> None:
    nonce = int.from_bytes(block.header[76:], "little")
    version = int.from_bytes(block.header[:4], "little")
    target = bits_to_target(block.header[72:76][::-1])
    kernel = fastest.kernel(block.header[:76], {Chain.BTC: target}, (version, version ^ 0x2000))
    scan = kernel.scan(max(nonce - 100_000, 0), 200_000)
    assert [(hit.version, hit.nonce, hit.hash[::-1].hex()) for hit in scan.hits] == [(version, nonce, block.hash)]


def test_a_prefix_of_another_length_is_refused(fastest: CompiledKernels) -> None:
    with pytest.raises(ValueError, match="76 bytes"):
        fastest.kernel(bytes(80), {Chain.BTC: 1}, (1,))


def test_the_cache_gives_the_same_code(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    compile_kernels([Chain.BTC], ObjectCache(folder))
    (file,) = folder.iterdir()
    first = file.read_bytes()
    file.write_bytes(first[:-1] + b"?")  # a damaged file is made anew
    compile_kernels([Chain.BTC], ObjectCache(folder))
    assert file.read_bytes() == first
    compile_kernels([Chain.BTC], ObjectCache(folder))
    assert [path.name for path in folder.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("features", "architecture", "lanes"),
    [
        ({"avx512f", "avx2", "sha", "ssse3", "sse4.1"}, "x86_64", (16, 16, 16)),
        ({"avx2", "sha", "ssse3", "sse4.1"}, "x86_64", (4, 4, 8)),
        ({"avx2"}, "x86_64", (8, 8, 8)),
        ({"sse2"}, "x86_64", (4, 4, 4)),
        ({"neon", "sha2"}, "aarch64", (4, 4, 4)),
    ],
)
def test_what_suits_a_cpu(features: set[str], architecture: str, lanes: tuple[int, ...]) -> None:
    proofs = proofs_for(Cpu("any", architecture, frozenset(features)))
    assert tuple(proofs[chain].lanes for chain in Chain) == lanes
    assert [proof.chain for proof in proofs.values()] == list(Chain)
    with_extensions = isinstance(proofs[Chain.BTC], BitcoinShaExtensions)
    assert with_extensions == ("sha" in features and "avx512f" not in features)
