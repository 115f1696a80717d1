"""The head that each block of a format with names begins with, so that a result can be sent block by block.

The engine encodes every block of a streamed result by itself, with names (and types) before its rows. Of all but the
first, that head is taken off. A result without rows is one block that is its head alone.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def _lines(count: int) -> Callable[[bytes], int]:
    """Names are escaped here, so that a newline ends a line."""

    def length(block: bytes) -> int:
        end = 0
        for _ in range(count):
            end = block.index(b"\n", end) + 1
        return end

    return length


def _csv_records(count: int) -> Callable[[bytes], int]:
    """Names stand in quotes, and a newline may stand between them."""

    def length(block: bytes) -> int:
        end = begin = 0
        for _ in range(count):
            while True:
                end = block.index(b"\n", end) + 1
                if block.count(b'"', begin, end) % 2 == 0:
                    break
            begin = end
        return end

    return length


def _varint(block: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = block[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _binary_strings(strings_a_column: int) -> Callable[[bytes], int]:
    def length(block: bytes) -> int:
        columns, at = _varint(block, 0)
        for _ in range(columns * strings_a_column):
            size, at = _varint(block, at)
            at += size
        return at

    return length


HEADS: dict[str, Callable[[bytes], int]] = {
    **{f"{name}WithNames": _lines(1) for name in ("TabSeparated", "TSV", "JSONCompactEachRow")},
    **{f"{name}WithNamesAndTypes": _lines(2) for name in ("TabSeparated", "TSV", "JSONCompactEachRow")},
    "JSONCompactStringsEachRowWithNames": _lines(1),
    "JSONCompactStringsEachRowWithNamesAndTypes": _lines(2),
    "CSVWithNames": _csv_records(1),
    "CSVWithNamesAndTypes": _csv_records(2),
    "RowBinaryWithNames": _binary_strings(1),
    "RowBinaryWithNamesAndTypes": _binary_strings(2),
}
"""How long the head of a block is, by format."""


def one_head(output_format: str, blocks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """`blocks` of `output_format` so that they can be joined."""
    length = HEADS.get(output_format)
    with contextlib.closing(blocks):
        for number, block in enumerate(blocks):
            yield block[length(block) :] if length and number and block else block
