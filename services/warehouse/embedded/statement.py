"""Where an INSERT's statement ends and its data begins.

Clients of ClickHouse's HTTP interface put both into one stream. Only the end of the head is sought here, by reading
tokens as ClickHouse's lexer does; what the head means, and whether it is allowed, the engine's own parser decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$")
SPACE = frozenset(b" \t\n\r\f\v")
QUOTES = frozenset(b"'\"`")


class UnfinishedStatementError(ValueError):
    """The bytes end inside a quoted string or a comment: more are needed to tell."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # "word", "quoted" or the character itself
    text: bytes
    end: int
    depth: int


def _end_of_quoted(sql: bytes, start: int) -> int:
    quote = sql[start]
    position = start + 1
    while position < len(sql):
        byte = sql[position]
        if byte == 0x5C:
            position += 2
        elif byte == quote:
            if position + 1 < len(sql) and sql[position + 1] == quote:
                position += 2
            else:
                return position + 1
        else:
            position += 1
    raise UnfinishedStatementError("quoted string")


def _end_of_space(sql: bytes, position: int) -> int:
    while position < len(sql):
        if sql[position] in SPACE:
            position += 1
        elif sql.startswith(b"/*", position):
            depth = 1
            position += 2
            while depth:
                closing, opening = sql.find(b"*/", position), sql.find(b"/*", position)
                if closing < 0:
                    raise UnfinishedStatementError("comment")
                nested = 0 <= opening < closing
                depth += 1 if nested else -1
                position = (opening if nested else closing) + 2
        elif sql.startswith((b"--", b"#!", b"# "), position):
            newline = sql.find(b"\n", position)
            if newline < 0:
                raise UnfinishedStatementError("comment")
            position = newline + 1
        else:
            break
    return position


def tokens(sql: bytes, position: int = 0) -> Iterator[Token]:
    """The tokens of `sql`, one after the other; raises UnfinishedStatementError inside a string or comment."""
    depth = 0
    while True:
        position = _end_of_space(sql, position)
        if position >= len(sql):
            return
        start = position
        byte = sql[position]
        if byte in WORD:
            while position < len(sql) and sql[position] in WORD:
                position += 1
            yield Token("word", sql[start:position], position, depth)
        elif byte in QUOTES:
            position = _end_of_quoted(sql, position)
            yield Token("quoted", sql[start:position], position, depth)
        else:
            position += 1
            if byte in b"([{":
                depth += 1
            elif byte in b")]}":
                depth -= 1
            yield Token(chr(byte), sql[start:position], position, depth)


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT that is followed by data: its statement, without FORMAT; the format; where the data starts."""

    sql: str
    format: str
    data_start: int


def _start_of_data(sql: bytes, position: int) -> int:
    """As ClickHouse's ParserInsertQuery: blanks and at most one line end between the head and its data."""
    while position < len(sql) and sql[position] in b" \t\f":
        position += 1
    if sql.startswith(b"\r", position):
        position += 1
    if sql.startswith(b"\n", position):
        position += 1
    return position


def split_insert(sql: bytes) -> InsertHead | None:
    """Split an INSERT with data; None for any other statement, INSERT ... SELECT included."""
    stream = tokens(sql)
    first = next(stream, None)
    if first is None or first.kind != "word" or first.text.upper() != b"INSERT":
        return None
    previous_end = first.end
    for token in stream:
        if token.kind == "word" and token.depth == 0:
            word = token.text.upper()
            if word in (b"SELECT", b"WITH", b"FROM"):
                return None
            if word == b"VALUES":
                return InsertHead(sql[:previous_end].decode(), "Values", _start_of_data(sql, token.end))
            if word == b"FORMAT":
                name = next(stream, None)
                if name is None or name.kind != "word":
                    return None
                return InsertHead(sql[:previous_end].decode(), name.text.decode(), _start_of_data(sql, name.end))
        previous_end = token.end
    return None
