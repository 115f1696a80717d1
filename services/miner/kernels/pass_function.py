"""The function that a kernel is: the loops over nonces and versions around a proof of work, and the test of its hash.

    uint64 scan(const uint32 *header, const uint32 *versions, uint32 version_count, uint32 first_nonce,
                uint64 groups, uint32 limit, uint32 *candidates, uint32 *candidate_count)

``header`` holds the 20 words that the proof hashes, as SHA-256 reads them; what stands there for nonce and version is
not looked at. A group is as many nonces as there are lanes, each with every version. A header is a candidate when the
most significant 32 bits of its hash are at most ``limit``: two words, nonce and number of the version. The pass ends
early where the candidates of another group might not fit, and returns how many groups it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from llvmlite import ir

from services.miner.kernels.words import WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.miner.chain import Chain

MAX_VERSIONS = 8
MAX_CANDIDATES = 256
_LONG = ir.IntType(64)
_WORDS = WORD.as_pointer()


class Proof(Protocol):
    """A chain's proof of work in code."""

    chain: Chain
    lanes: int
    kept_words: int

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """What is worth keeping of a version for the whole pass: ``kept_words`` scalars."""

    def of_nonces(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any) -> Any:
        """What all versions share of ``lanes`` nonces from ``nonce``; ``fixed`` writes before the loops."""

    def top_words(self, builder: ir.IRBuilder, of_nonces: Any, of_version: Sequence[Any]) -> Any:
        """The most significant 32 bits of the hashes, a vector of ``lanes``."""


def name_of(proof: Proof) -> str:
    """The function's name in its module."""
    return f"scan_{proof.chain.name.lower()}"


def pass_module(proof: Proof) -> ir.Module:
    """A module with the function."""
    module = ir.Module()
    signature = ir.FunctionType(_LONG, [_WORDS, _WORDS, WORD, WORD, _LONG, WORD, _WORDS, _WORDS])
    function = ir.Function(module, signature, name_of(proof))
    header_at, versions_at, version_count, first_nonce, groups, limit, candidates, count_at = function.args
    names = (
        "entry",
        "prepare",
        "ready",
        "group",
        "version",
        "hit",
        "store",
        "stored",
        "next_version",
        "next_group",
        "end",
    )
    entry, prepare, ready, group, version, hit, store, stored, next_version, next_group, end = map(
        function.append_basic_block, names
    )

    builder = ir.IRBuilder(entry)
    kept = builder.alloca(WORD, MAX_VERSIONS * proof.kept_words)
    header = [builder.load(builder.gep(header_at, [_LONG(i)])) for i in range(20)]
    builder.store(WORD(0), count_at)
    # The candidates of one more group fit below this.
    lanes_of_group = builder.mul(version_count, WORD(proof.lanes))
    most = builder.sub(WORD(MAX_CANDIDATES), lanes_of_group)
    builder.branch(prepare)

    builder.position_at_end(prepare)
    index = builder.phi(WORD)
    row = builder.mul(index, WORD(proof.kept_words))
    words = proof.of_version(builder, header, builder.load(builder.gep(versions_at, [index])))
    for number, word in enumerate(words):
        value = WORD(word) if isinstance(word, int) else word
        builder.store(value, builder.gep(kept, [builder.add(row, WORD(number))]))
    following = builder.add(index, WORD(1))
    index.add_incoming(WORD(0), entry)
    index.add_incoming(following, prepare)
    builder.cbranch(builder.icmp_unsigned("<", following, version_count), prepare, ready)

    fixed = ir.IRBuilder(ready)
    builder.position_at_end(group)
    done = builder.phi(_LONG)
    nonce = builder.add(first_nonce, builder.mul(builder.trunc(done, WORD), WORD(proof.lanes)))
    of_nonces = proof.of_nonces(builder, fixed, header, nonce)
    wanted = _every_lane(fixed, limit, proof.lanes)
    fixed.branch(group)
    builder.branch(version)

    builder.position_at_end(version)
    index = builder.phi(WORD)
    row = builder.mul(index, WORD(proof.kept_words))
    of_version = [builder.load(builder.gep(kept, [builder.add(row, WORD(i))])) for i in range(proof.kept_words)]
    top = proof.top_words(builder, of_nonces, of_version)
    met = builder.icmp_unsigned("<=", top, wanted)
    mask = builder.bitcast(met, ir.IntType(proof.lanes))
    builder.cbranch(builder.icmp_unsigned("!=", mask, mask.type(0)), hit, next_version)

    builder.position_at_end(hit)
    wide = builder.zext(mask, WORD) if proof.lanes < 32 else mask
    counted = builder.load(count_at)
    builder.branch(store)

    builder.position_at_end(store)
    lane, bits, number = builder.phi(WORD), builder.phi(WORD), builder.phi(WORD)
    at = builder.mul(number, WORD(2))
    builder.store(builder.add(nonce, lane), builder.gep(candidates, [at]))
    builder.store(index, builder.gep(candidates, [builder.add(at, WORD(1))]))
    # A lane that did not meet the limit is overwritten by the next that did.
    following_number = builder.add(number, builder.and_(bits, WORD(1)))
    rest = builder.lshr(bits, WORD(1))
    following_lane = builder.add(lane, WORD(1))
    for phi, first, later in ((lane, WORD(0), following_lane), (bits, wide, rest), (number, counted, following_number)):
        phi.add_incoming(first, hit)
        phi.add_incoming(later, store)
    builder.cbranch(builder.icmp_unsigned("!=", rest, WORD(0)), store, stored)

    builder.position_at_end(stored)
    builder.store(following_number, count_at)
    builder.branch(next_version)

    builder.position_at_end(next_version)
    following = builder.add(index, WORD(1))
    index.add_incoming(WORD(0), group)
    index.add_incoming(following, next_version)
    builder.cbranch(builder.icmp_unsigned("<", following, version_count), version, next_group)

    builder.position_at_end(next_group)
    after = builder.add(done, _LONG(1))
    done.add_incoming(_LONG(0), ready)
    done.add_incoming(after, next_group)
    room = builder.icmp_unsigned("<=", builder.load(count_at), most)
    builder.cbranch(builder.and_(room, builder.icmp_unsigned("<", after, groups)), group, end)

    builder.position_at_end(end)
    builder.ret(after)
    return module


def _every_lane(builder: ir.IRBuilder, scalar: Any, lanes: int) -> Any:
    kind = ir.VectorType(WORD, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, WORD(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(kind, [0] * lanes))
