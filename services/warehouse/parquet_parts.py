"""Parquet files of the same columns joined into one, with no more of it in memory than one of them.

A Parquet file is its row groups and, at the end, a footer in Thrift's compact protocol that says where they lie. So a
file can be written in parts: each part's row groups are sent on as they are, and its footer is kept, moved by what was
sent before; the last thing sent is one footer of them all. Of the footer only places, numbers of rows and ordinals are
understood here (parquet.thrift: FileMetaData, RowGroup, ColumnChunk, ColumnMetaData); all else passes unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

MAGIC: Final = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_ROWS, _ROW_GROUPS = 3, 4  # of FileMetaData
_CHUNKS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7  # of RowGroup
_FILE_OFFSET, _CHUNK_META = 2, 3  # of ColumnChunk
# Of ColumnChunk: where its page index lies. That index holds places itself, so it is left out of what readers are told.
_PAGE_INDEX: Final = (4, 5, 6, 7)
_META_PLACES: Final = (9, 10, 11, 14)  # of ColumnMetaData: data page, index page, dictionary page, bloom filter


class ParquetError(ValueError):
    """What was given is no Parquet file, or does not have the columns of those before it."""


@dataclass(slots=True)
class Value:
    """A value of Thrift's compact protocol: its type, and an int, bytes, a dict of fields, or a list of values."""

    kind: int
    content: Any


class ParquetParts:
    """Joins parts; send on what `add` gives, each time, and at last what `end` gives."""

    def __init__(self) -> None:
        self._footer: dict[int, Value] | None = None
        self._sent = 0

    def add(self, part: bytes) -> bytes:
        """What to send for `part`, a whole Parquet file. Raises ParquetError."""
        if len(part) < 12 or part[:4] != MAGIC or part[-4:] != MAGIC:
            raise ParquetError("no Parquet file")
        size = int.from_bytes(part[-8:-4], "little")
        if size > len(part) - 12:
            raise ParquetError("a footer longer than its file")
        try:
            footer, _ = _read_struct(part[-8 - size : -8], 0)
        except IndexError:
            raise ParquetError("a footer that is cut off") from None
        for group in footer[_ROW_GROUPS].content:
            for chunk in group.content[_CHUNKS].content:
                for place in _PAGE_INDEX:
                    chunk.content.pop(place, None)
        body = part[4 : -8 - size]
        if self._footer is None:
            self._footer = footer
            self._sent = len(MAGIC) + len(body)
            return MAGIC + body
        self._join(self._footer, footer)
        self._sent += len(body)
        return body

    def end(self) -> bytes:
        """The footer of all parts. Raises ParquetError if there was none."""
        if self._footer is None:
            raise ParquetError("no part")
        footer = _struct_bytes(self._footer)
        return footer + len(footer).to_bytes(4, "little") + MAGIC

    def _join(self, whole: dict[int, Value], footer: dict[int, Value]) -> None:
        if whole[2] != footer[2]:  # the schema
            raise ParquetError("a part with other columns")
        moved = self._sent - len(MAGIC)
        groups = whole[_ROW_GROUPS].content
        for group in footer[_ROW_GROUPS].content:
            _move(group.content, (_GROUP_OFFSET,), moved)
            for chunk in group.content[_CHUNKS].content:
                _move(chunk.content, (_FILE_OFFSET,), moved)
                if _CHUNK_META in chunk.content:
                    _move(chunk.content[_CHUNK_META].content, _META_PLACES, moved)
            if _ORDINAL in group.content:
                # 16 bits; it matters to encrypted files alone, and what does not fit is left out.
                if len(groups) < 1 << 15:
                    group.content[_ORDINAL].content = len(groups)
                else:
                    del group.content[_ORDINAL]
            groups.append(group)
        whole[_ROWS].content += footer[_ROWS].content


def _move(fields: dict[int, Value], places: tuple[int, ...], by: int) -> None:
    for place in places:
        # Writers put 0 where a place means nothing.
        if place in fields and fields[place].content:
            fields[place].content += by


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _read_zigzag(data: bytes, at: int) -> tuple[int, int]:
    number, at = _read_varint(data, at)
    return (number >> 1) ^ -(number & 1), at


def _read_struct(data: bytes, at: int) -> tuple[dict[int, Value], int]:
    fields: dict[int, Value] = {}
    name = 0
    while (head := data[at]) != 0:
        at += 1
        if head >> 4:
            name += head >> 4
        else:
            name, at = _read_zigzag(data, at)
        kind = head & 0x0F
        if kind in (_TRUE, _FALSE):
            fields[name] = Value(kind, None)
        else:
            content, at = _read_value(data, at, kind)
            fields[name] = Value(kind, content)
    return fields, at + 1


def _read_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _read_zigzag(data, at)
    if kind == _BINARY:
        size, at = _read_varint(data, at)
        return data[at : at + size], at + size
    if kind == _STRUCT:
        return _read_struct(data, at)
    if kind in (_LIST, _SET):
        return _read_list(data, at)
    if kind in (_TRUE, _FALSE, _BYTE):  # in a list a boolean is a byte
        return data[at], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    raise ParquetError(f"a footer with a value of type {kind}")


def _read_list(data: bytes, at: int) -> tuple[list[Value], int]:
    head = data[at]
    at += 1
    size = head >> 4
    if size == 15:
        size, at = _read_varint(data, at)
    kind = head & 0x0F
    items = []
    for _ in range(size):
        content, at = _read_value(data, at, kind)
        items.append(Value(kind, content))
    return items, at


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _struct_bytes(fields: dict[int, Value]) -> bytes:
    out = bytearray()
    before = 0
    for name, value in sorted(fields.items()):
        step = name - before
        out += bytes(((step << 4 | value.kind),)) if 0 < step < 16 else bytes((value.kind,)) + _zigzag(name)
        before = name
        if value.kind not in (_TRUE, _FALSE):
            out += _value_bytes(value)
    return bytes(out) + b"\0"


def _value_bytes(value: Value) -> bytes:
    content: Any = value.content
    if value.kind in (_I16, _I32, _I64):
        return _zigzag(content)
    if value.kind == _BINARY:
        return _varint(len(content)) + bytes(content)
    if value.kind == _STRUCT:
        return _struct_bytes(content)
    if value.kind in (_LIST, _SET):
        return _list_bytes(content)
    return bytes((content,)) if isinstance(content, int) else bytes(content)


def _list_bytes(items: list[Value]) -> bytes:
    # An empty list keeps no type; any will do.
    kind = items[0].kind if items else _STRUCT
    head = bytes((len(items) << 4 | kind,)) if len(items) < 15 else bytes((0xF0 | kind,)) + _varint(len(items))
    return head + b"".join(_value_bytes(item) for item in items)
