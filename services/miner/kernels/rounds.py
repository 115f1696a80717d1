"""SHA-256 and Tetra-PoW on the words of a kernel, as they are generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.miner.tetrapow import INITIAL, SHA256_K, TETRAPOW_K

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.miner.kernels.words import Words

DIGEST_PADDING = (0x80000000, 0, 0, 0, 0, 0, 0, 256)
"""What follows a digest of 8 words in the one block that hashes it again."""
HEADER_PADDING = (0x80000000, *[0] * 10, 640)
"""What follows the last 4 words of a header in its second block."""
LAST_WORD_ROUNDS = 61
"""The digest's last word is the initial one plus E after this round: the three behind it only move it."""


def keyed_schedule(words: Words, message: Sequence[Any], rounds: int = 64) -> list[Any]:
    """Each round's word of the message schedule plus its constant, from the 16 words of a block."""
    schedule = list(message)
    for i in range(16, rounds):
        schedule.append(
            words.sum(
                schedule[i - 16], _sigma0(words, schedule[i - 15]), schedule[i - 7], _sigma1(words, schedule[i - 2])
            )
        )
    return [words.sum(constant, word) for constant, word in zip(SHA256_K, schedule, strict=False)]


def sha256_rounds(words: Words, state: Sequence[Any], keyed: Sequence[Any]) -> tuple[Any, ...]:
    """The state after as many rounds as there are words in ``keyed``."""
    a, b, c, d, e, f, g, h = state
    b_c = words.xor(b, c)
    for keyed_word in keyed:
        t1 = words.sum(h, keyed_word, _rotations(words, e, 6, 11, 25), _choice(words, e, f, g))
        a_b = words.xor(a, b)
        maj = words.xor(b, words.both(a_b, b_c))
        b_c = a_b
        a, b, c, d, e, f, g, h = (
            words.sum(t1, _rotations(words, a, 2, 13, 22), maj), a, b, c, words.sum(d, t1), e, f, g,
        )  # fmt: skip
    return a, b, c, d, e, f, g, h


def compressed(words: Words, state: Sequence[Any], keyed: Sequence[Any]) -> list[Any]:
    """The state after a whole block."""
    after = sha256_rounds(words, state, keyed)
    return [words.sum(before, word) for before, word in zip(state, after, strict=True)]


def last_word_of_hash(words: Words, digest: Sequence[Any]) -> Any:
    """The last word of the SHA-256 of a digest: what the test of a proof of work looks at first."""
    keyed = keyed_schedule(words, [*digest, *DIGEST_PADDING], LAST_WORD_ROUNDS)
    state = sha256_rounds(words, INITIAL, keyed)
    return words.sum(INITIAL[7], state[4])


def tetrapow_rounds(
    words: Words, state: Sequence[Any], message: Sequence[Any], first: int, last: int
) -> tuple[Any, ...]:
    """Tetra-PoW's rounds ``first`` up to, but not with, ``last``."""
    a, b, c, d, e, f, g, h = state
    b_c = words.xor(b, c)
    for i in range(first, last):
        a_b = words.xor(a, b)
        omega = words.xor(a_b, c, words.shifted_left(d, 3), words.shifted_right(e, 2))
        t1 = words.sum(h, TETRAPOW_K[i], message[i], _rotations(words, h, 6, 11, 25), _choice(words, e, f, g), omega)
        maj = words.xor(b, words.both(a_b, b_c))
        b_c = a_b
        a, b, c, d, e, f, g, h = (
            words.sum(t1, _rotations(words, a, 2, 13, 22), maj), a, b, c, words.sum(d, t1), e, f, g,
        )  # fmt: skip
    return a, b, c, d, e, f, g, h


def _choice(words: Words, e: Any, f: Any, g: Any) -> Any:
    return words.xor(g, words.both(e, words.xor(f, g)))


def _rotations(words: Words, word: Any, *bits: int) -> Any:
    return words.xor(*(words.rotated_right(word, by) for by in bits))


def _sigma0(words: Words, word: Any) -> Any:
    return words.xor(words.rotated_right(word, 7), words.rotated_right(word, 18), words.shifted_right(word, 3))


def _sigma1(words: Words, word: Any) -> Any:
    return words.xor(words.rotated_right(word, 17), words.rotated_right(word, 19), words.shifted_right(word, 10))
