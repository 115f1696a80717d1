"""32-bit words as a kernel's generator sees them, and the operators on them.

A word is one of three things: an ``int``, known while the code is generated; a scalar, the same for every nonce of a
pass; a vector, one value for each nonce in the lanes. An operator on numbers is done at once, one on scalars is placed
where the fixed part stands (outside the loops), and only what depends on the nonce is done in the loop, for all lanes.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

MASK: Final = 0xFFFFFFFF
WORD: Final = ir.IntType(32)


class Words:
    """Operators that write into ``builder`` (vectors) and ``fixed`` (scalars). Sums are modulo 2^32."""

    def __init__(self, builder: ir.IRBuilder, fixed: ir.IRBuilder, lanes: int) -> None:
        self.lanes = lanes
        self.vector_type = ir.VectorType(WORD, lanes)
        self._builder = builder
        self._fixed = fixed

    def sum(self, *terms: Any) -> Any:
        """The terms' sum: numbers first, then scalars, so that the loop adds as little as possible."""
        number = sum(term for term in terms if isinstance(term, int)) & MASK
        scalars = [term for term in terms if self._is_scalar(term)]
        vectors = [term for term in terms if self._is_vector(term)]
        total = self._chain("add", scalars, number, 0)
        if not vectors:
            return total
        for vector in vectors:
            total = vector if isinstance(total, int) and total == 0 else self._do("add", total, vector)
        return total

    def xor(self, *terms: Any) -> Any:
        """All terms, exclusively or-ed."""
        result = terms[0]
        for term in terms[1:]:
            result = self._do("xor", result, term)
        return result

    def both(self, first: Any, second: Any) -> Any:
        """The bits that are set in both."""
        return self._do("and_", first, second)

    def rotated_right(self, word: Any, bits: int) -> Any:
        """The word, rotated by so many bits."""
        if isinstance(word, int):
            return (word >> bits | word << 32 - bits) & MASK
        kind = word.type
        function = self._intrinsic("llvm.fshr", kind, [kind] * 3)
        return self._builder_of(word).call(function, [word, word, _constant(kind, bits)])

    def shifted_right(self, word: Any, bits: int) -> Any:
        """The word, zeros shifted in from above."""
        if isinstance(word, int):
            return word >> bits
        return self._builder_of(word).lshr(word, _constant(word.type, bits))

    def shifted_left(self, word: Any, bits: int) -> Any:
        """The word, zeros shifted in from below."""
        if isinstance(word, int):
            return word << bits & MASK
        return self._builder_of(word).shl(word, _constant(word.type, bits))

    def bytes_swapped(self, word: Any) -> Any:
        """The word's bytes in the opposite order."""
        function = self._intrinsic("llvm.bswap", word.type, [word.type])
        return self._builder_of(word).call(function, [word])

    def vector(self, word: Any) -> Any:
        """The word in every lane."""
        if self._is_vector(word):
            return word
        if isinstance(word, int):
            return _constant(self.vector_type, word)
        undefined = ir.Constant(self.vector_type, ir.Undefined)
        first = self._fixed.insert_element(undefined, word, WORD(0))
        return self._fixed.shuffle_vector(first, undefined, ir.Constant(self.vector_type, [0] * self.lanes))

    def counted_from(self, scalar: Any) -> Any:
        """``scalar``, ``scalar + 1`` and so on, a lane each."""
        return self._builder.add(self.vector(scalar), ir.Constant(self.vector_type, list(range(self.lanes))))

    def _chain(self, operator: str, scalars: list[Any], number: int, neutral: int) -> Any:
        if not scalars:
            return number
        total = scalars[0]
        for scalar in scalars[1:]:
            total = self._do(operator, total, scalar)
        return total if number == neutral else self._do(operator, total, number)

    def _do(self, operator: str, first: Any, second: Any) -> Any:
        if isinstance(first, int) and isinstance(second, int):
            return {"add": first + second & MASK, "xor": first ^ second, "and_": first & second}[operator]
        if self._is_vector(first) or self._is_vector(second):
            return getattr(self._builder, operator)(self.vector(first), self.vector(second))
        return getattr(self._fixed, operator)(_scalar(first), _scalar(second))

    def _builder_of(self, word: Any) -> ir.IRBuilder:
        return self._builder if self._is_vector(word) else self._fixed

    def _is_scalar(self, word: Any) -> bool:
        return not isinstance(word, int) and word.type == WORD

    def _is_vector(self, word: Any) -> bool:
        return not isinstance(word, int) and word.type != WORD

    def _intrinsic(self, name: str, kind: Any, arguments: list[Any]) -> ir.Function:
        suffix = "i32" if kind == WORD else f"v{self.lanes}i32"
        return declared(self._builder.module, f"{name}.{suffix}", kind, arguments)


def declared(module: ir.Module, name: str, result: Any, arguments: list[Any]) -> ir.Function:
    """The function of that name, declared at its first use."""
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


def _scalar(word: Any) -> Any:
    return WORD(word) if isinstance(word, int) else word


def _constant(kind: Any, number: int) -> ir.Constant:
    return WORD(number) if kind == WORD else ir.Constant(kind, [number] * kind.count)
