"""The three proofs of work on vectors: a nonce in each lane, whatever CPU has vectors of that width.

What does not depend on the nonce is done once a pass, and what does not depend on the version once for all versions:

- Bitcoin: the header's first block holds the version, the second the nonce. So each version has a midstate, and the
  second block's message schedule is shared by all of them.
- RollPoW: the header is reversed, so the nonce stands in the first word of the first block, and the version in the
  second block. So there is a midstate for each nonce, which all versions share, and the second block's message schedule
  is a constant of the version.
- Tetra-PoW: no schedule. The 19 rounds before the nonce are the version's; the zero words fold into the constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.miner.chain import Chain
from services.miner.kernels import rounds
from services.miner.kernels.words import Words
from services.miner.tetrapow import HEADER_WORDS_PADDED, INITIAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite import ir

_NONCE_WORD = 19
_TETRAPOW_LAST_WORD_ROUNDS = 125


class VectorProof:
    """What the parts of a pass do, on vectors of so many lanes; see :mod:`services.miner.kernels.pass_function`."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def words(self, builder: ir.IRBuilder, fixed: ir.IRBuilder | None = None) -> Words:
        return Words(builder, fixed or builder, self.lanes)


class BitcoinLanes(VectorProof):
    """sha256d of the header."""

    chain = Chain.BTC
    kept_words = 16

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """The midstate, and the state after the second block's first three rounds."""
        words = self.words(builder)
        midstate = rounds.compressed(words, INITIAL, rounds.keyed_schedule(words, [version, *header[1:16]]))
        keyed = rounds.keyed_schedule(words, header[16:19], 3)
        return [*midstate, *rounds.sha256_rounds(words, midstate, keyed)]

    def of_nonces(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any) -> list[Any]:
        """The second block's schedule."""
        words = self.words(builder, fixed)
        nonces = words.bytes_swapped(Words(builder, builder, self.lanes).counted_from(nonce))
        message = [*header[16:19], nonces, *rounds.HEADER_PADDING]
        return [words.vector(word) for word in rounds.keyed_schedule(words, message)[3:]]

    def top_words(self, builder: ir.IRBuilder, of_nonces: Sequence[Any], of_version: Sequence[Any]) -> Any:
        """The most significant word of each lane's hash."""
        words = self.words(builder)
        midstate, state = of_version[:8], of_version[8:]
        after = rounds.sha256_rounds(words, state, of_nonces)
        digest = [words.sum(before, word) for before, word in zip(midstate, after, strict=True)]
        return words.bytes_swapped(rounds.last_word_of_hash(words, digest))


class RollPowLanes(VectorProof):
    """sha256d of the reversed header."""

    chain = Chain.ROLLPOW
    kept_words = 64

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """The second block's schedule."""
        message = [*header[16:19], version, *rounds.HEADER_PADDING]
        return rounds.keyed_schedule(self.words(builder), message)

    def of_nonces(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any) -> list[Any]:
        """The midstate after the first block."""
        words = self.words(builder, fixed)
        nonces = Words(builder, builder, self.lanes).counted_from(nonce)
        return rounds.compressed(words, INITIAL, rounds.keyed_schedule(words, [nonces, *header[1:16]]))

    def top_words(self, builder: ir.IRBuilder, of_nonces: Sequence[Any], of_version: Sequence[Any]) -> Any:
        """The most significant word of each lane's hash."""
        words = self.words(builder)
        digest = rounds.compressed(words, of_nonces, of_version)
        return words.bytes_swapped(rounds.last_word_of_hash(words, digest))


class TetraPowLanes(VectorProof):
    """Tetra-PoW of the header."""

    chain = Chain.TETRAPOW
    kept_words = 8

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """The state before the round that takes the nonce."""
        words = self.words(builder)
        message = [version, *header[1:_NONCE_WORD]]
        return list(rounds.tetrapow_rounds(words, INITIAL, message, 0, _NONCE_WORD))

    def of_nonces(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any) -> list[Any]:
        """The nonces."""
        words = Words(builder, builder, self.lanes)
        return [words.bytes_swapped(words.counted_from(nonce))]

    def top_words(self, builder: ir.IRBuilder, of_nonces: Sequence[Any], of_version: Sequence[Any]) -> Any:
        """The most significant word of each lane's hash: H in the end is E of three rounds before."""
        words = self.words(builder)
        message = [*HEADER_WORDS_PADDED[:_NONCE_WORD], of_nonces[0], *HEADER_WORDS_PADDED[_NONCE_WORD + 1 :]]
        state = rounds.tetrapow_rounds(words, of_version, message, _NONCE_WORD, _TETRAPOW_LAST_WORD_ROUNDS)
        return words.bytes_swapped(state[4])
