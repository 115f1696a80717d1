"""A coinbase transaction taken apart: the height it claims, and whom it pays.

Only the form without witness is read: it is what a mining.notify is made of and what a merkle root commits to.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.stratum.payee import payee

_OUTPOINT_BYTES = 36


class CoinbaseError(ValueError):
    """Bytes that are no transaction with one input."""


@dataclass(frozen=True, slots=True)
class Output:
    """Whom a coinbase pays."""

    satoshi: int
    script: bytes

    @property
    def payee(self) -> str:
        """The address on Bitcoin's main network, `OP_RETURN` for data, '' where the script has no address."""
        return payee(self.script)


@dataclass(frozen=True, slots=True)
class Coinbase:
    """The parts of a coinbase transaction."""

    version: int
    input_script: bytes
    sequence: int
    outputs: tuple[Output, ...]
    lock_time: int

    @classmethod
    def parse(cls, transaction: bytes) -> Coinbase:
        """Raises CoinbaseError unless all of `transaction` is one, with one input and no witness."""
        reader = _Reader(transaction)
        version = reader.number(4)
        if reader.size() != 1:
            raise CoinbaseError("a coinbase has one input")
        reader.take(_OUTPOINT_BYTES)
        script = reader.take(reader.size())
        sequence = reader.number(4)
        outputs = []
        for _ in range(reader.size()):
            satoshi = reader.number(8)
            outputs.append(Output(satoshi, reader.take(reader.size())))
        lock_time = reader.number(4)
        if not reader.is_at_end:
            raise CoinbaseError("bytes follow the transaction's end")
        return cls(version, script, sequence, tuple(outputs), lock_time)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise CoinbaseError("the transaction is cut off")
        self._at += count
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def size(self) -> int:
        """Bitcoin's compact size."""
        first = self.number(1)
        return first if first < 0xFD else self.number(2 << (first - 0xFD))
