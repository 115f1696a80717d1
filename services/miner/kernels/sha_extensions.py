"""Bitcoin and RollPoW with Intel's SHA extensions, which do two rounds in one instruction.

A lane is a nonce with registers of its own; two or more lanes hide the latency of each other's instructions. What is
done once and what is shared is as in :mod:`services.miner.kernels.lanes`. A state is two vectors, FEBA and HGDC, lowest
lane first; a schedule is kept as the 16 vectors that the rounds take, constants added (Intel's programming reference).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from services.miner.chain import Chain
from services.miner.kernels.rounds import DIGEST_PADDING, HEADER_PADDING
from services.miner.kernels.words import WORD, declared
from services.miner.tetrapow import INITIAL, SHA256_K

if TYPE_CHECKING:
    from collections.abc import Sequence

_FOUR = ir.VectorType(WORD, 4)
State = tuple[Any, Any]


class _ShaExtensions:
    """Writes SHA-256 in the extensions' instructions."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self._builder = builder
        module = builder.module
        self._rounds2 = declared(module, "llvm.x86.sha256rnds2", _FOUR, [_FOUR] * 3)
        self._schedule1 = declared(module, "llvm.x86.sha256msg1", _FOUR, [_FOUR] * 2)
        self._schedule2 = declared(module, "llvm.x86.sha256msg2", _FOUR, [_FOUR] * 2)

    def picked(self, first: Any, second: Any, *lanes: int) -> Any:
        """Four of the eight lanes of two vectors."""
        return self._builder.shuffle_vector(first, second, constant(*lanes))

    def vector(self, *words: Any) -> Any:
        """Four words, numbers or scalars, as a vector."""
        result: Any = constant(*(word if isinstance(word, int) else 0 for word in words))
        for lane, word in enumerate(words):
            if not isinstance(word, int):
                result = self._builder.insert_element(result, word, WORD(lane))
        return result

    def scalars(self, vector: Any) -> list[Any]:
        """A vector's four words."""
        return [self._builder.extract_element(vector, WORD(lane)) for lane in range(4)]

    def schedule(self, message: Sequence[Any]) -> list[Any]:
        """The 16 vectors of a block whose words are the four of ``message``."""
        builder = self._builder
        words = list(message)
        keyed = []
        for quarter in range(16):
            if quarter >= 4:
                w0, w1, w2, w3 = words
                partial = builder.add(builder.call(self._schedule1, [w0, w1]), self.picked(w2, w3, 1, 2, 3, 4))
                words = [w1, w2, w3, builder.call(self._schedule2, [partial, w3])]
            keyed.append(builder.add(words[min(quarter, 3)], constant(*SHA256_K[4 * quarter : 4 * quarter + 4])))
        return keyed

    def two_rounds(self, state: State, keyed: Any) -> State:
        """The state after the rounds of the two lower lanes."""
        high, low = state
        return self._builder.call(self._rounds2, [low, high, keyed]), high

    def rounds(self, state: State, schedule: Sequence[Any]) -> State:
        """The state after four rounds for each vector."""
        for keyed in schedule:
            state = self.two_rounds(state, keyed)
            state = self.two_rounds(state, self.picked(keyed, keyed, 2, 3, 0, 0))
        return state

    def sum(self, before: State, after: State) -> State:
        """What ends a block."""
        return self._builder.add(before[0], after[0]), self._builder.add(before[1], after[1])

    def last_words(self, states: Sequence[State]) -> list[Any]:
        """Of each digest, the last word of its SHA-256. The lanes go side by side, for they wait for nothing."""
        schedules = []
        for high, low in states:
            digest = self.picked(high, low, 3, 2, 7, 6), self.picked(high, low, 1, 0, 5, 4)
            schedules.append(self.schedule([*digest, constant(*DIGEST_PADDING[:4]), constant(*DIGEST_PADDING[4:])]))
        running = [initial_state()] * len(states)
        for quarter in range(15):
            running = [
                self.rounds(state, schedule[quarter : quarter + 1])
                for state, schedule in zip(running, schedules, strict=True)
            ]
        # After these 62 rounds F is what H will be: the last two only move it.
        running = [self.two_rounds(state, schedule[15]) for state, schedule in zip(running, schedules, strict=True)]
        return [
            self._builder.add(self._builder.extract_element(high, WORD(0)), WORD(INITIAL[7])) for high, _ in running
        ]

    def bytes_swapped(self, word: Any) -> Any:
        """The word's bytes in the opposite order."""
        function = declared(self._builder.module, f"llvm.bswap.{_suffix(word.type)}", word.type, [word.type])
        return self._builder.call(function, [word])


def constant(*words: int) -> ir.Constant:
    """Four numbers as a vector."""
    return ir.Constant(_FOUR, list(words))


def state_of(sha: _ShaExtensions, words: Sequence[Any]) -> State:
    """A to H as a state."""
    a, b, c, d, e, f, g, h = words
    return sha.vector(f, e, b, a), sha.vector(h, g, d, c)


def initial_state() -> State:
    """SHA-256's own."""
    a, b, c, d, e, f, g, h = INITIAL
    return constant(f, e, b, a), constant(h, g, d, c)


def _suffix(kind: Any) -> str:
    return "i32" if kind == WORD else f"v{kind.count}i32"


def _message(sha: _ShaExtensions, words: Sequence[Any]) -> list[Any]:
    return [sha.vector(*words[4 * quarter : 4 * quarter + 4]) for quarter in range(4)]


class _Lanes:
    """Two lanes or more, each in registers of its own."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes

    def _together(self, builder: ir.IRBuilder, words: Sequence[Any]) -> Any:
        kind = ir.VectorType(WORD, self.lanes)
        vector: Any = ir.Constant(kind, ir.Undefined)
        for lane, word in enumerate(words):
            vector = builder.insert_element(vector, word, WORD(lane))
        swap = declared(builder.module, f"llvm.bswap.{_suffix(kind)}", kind, [kind])
        return builder.call(swap, [vector])


class BitcoinShaExtensions(_Lanes):
    """sha256d of the header."""

    chain = Chain.BTC
    kept_words = 16

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """The midstate, and the state after the second block's first two rounds."""
        sha = _ShaExtensions(builder)
        start = initial_state()
        midstate = sha.sum(start, sha.rounds(start, sha.schedule(_message(sha, [version, *header[1:16]]))))
        keyed = builder.add(sha.vector(*header[16:19], 0), constant(*SHA256_K[:4]))
        return [word for part in (*midstate, *sha.two_rounds(midstate, keyed)) for word in sha.scalars(part)]

    def of_nonces(
        self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any
    ) -> list[list[Any]]:
        """The second block's schedule, for each lane."""
        sha, before = _ShaExtensions(builder), _ShaExtensions(fixed)
        begin = before.vector(*header[16:19], 0)
        padding = [constant(*HEADER_PADDING[4 * quarter : 4 * quarter + 4]) for quarter in range(3)]
        schedules = []
        for lane in range(self.lanes):
            word = sha.bytes_swapped(builder.add(nonce, WORD(lane)))
            schedules.append(sha.schedule([builder.insert_element(begin, word, WORD(3)), *padding]))
        return schedules

    def top_words(self, builder: ir.IRBuilder, of_nonces: Sequence[Any], of_version: Sequence[Any]) -> Any:
        """The most significant word of each lane's hash."""
        sha = _ShaExtensions(builder)
        midstate = sha.vector(*of_version[:4]), sha.vector(*of_version[4:8])
        start = sha.vector(*of_version[8:12]), sha.vector(*of_version[12:])
        running = []
        for schedule in of_nonces:
            upper = sha.picked(schedule[0], schedule[0], 2, 3, 0, 0)
            running.append(sha.two_rounds(start, upper))
        for quarter in range(1, 16):
            running = [
                sha.rounds(state, schedule[quarter : quarter + 1])
                for state, schedule in zip(running, of_nonces, strict=True)
            ]
        return self._together(builder, sha.last_words([sha.sum(midstate, state) for state in running]))


class RollPowShaExtensions(_Lanes):
    """sha256d of the reversed header."""

    chain = Chain.ROLLPOW
    kept_words = 64

    def of_version(self, builder: ir.IRBuilder, header: Sequence[Any], version: Any) -> list[Any]:
        """The second block's schedule."""
        sha = _ShaExtensions(builder)
        message = [*header[16:19], version, *HEADER_PADDING]
        return [word for keyed in sha.schedule(_message(sha, message)) for word in sha.scalars(keyed)]

    def of_nonces(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, header: Sequence[Any], nonce: Any) -> list[State]:
        """The midstate after the first block, for each lane."""
        sha, before = _ShaExtensions(builder), _ShaExtensions(fixed)
        begin = before.vector(0, *header[1:4])
        rest = [before.vector(*header[4 * quarter : 4 * quarter + 4]) for quarter in range(1, 4)]
        start = initial_state()
        states = []
        for lane in range(self.lanes):
            word = builder.add(nonce, WORD(lane))
            schedule = sha.schedule([builder.insert_element(begin, word, WORD(0)), *rest])
            states.append(sha.sum(start, sha.rounds(start, schedule)))
        return states

    def top_words(self, builder: ir.IRBuilder, of_nonces: Sequence[Any], of_version: Sequence[Any]) -> Any:
        """The most significant word of each lane's hash."""
        sha = _ShaExtensions(builder)
        running = list(of_nonces)
        for quarter in range(16):
            keyed = sha.vector(*of_version[4 * quarter : 4 * quarter + 4])
            running = [sha.rounds(state, [keyed]) for state in running]
        finished = [sha.sum(before, after) for before, after in zip(of_nonces, running, strict=True)]
        return self._together(builder, sha.last_words(finished))
