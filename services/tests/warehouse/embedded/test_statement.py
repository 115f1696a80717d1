from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.embedded.statement import UnfinishedStatementError, split_insert


@pytest.mark.parametrize(
    ("sql", "head", "name", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x01\x02", "INSERT INTO t", "Native", b"\x01\x02"),
        (b"insert into t (a, b) format RowBinary\r\n\n", "insert into t (a, b)", "RowBinary", b"\n"),
        (b"INSERT INTO t VALUES (1), (2)", "INSERT INTO t", "Values", b"(1), (2)"),
        (b"/* FORMAT X */ INSERT INTO t -- VALUES\n FORMAT CSV 1", "/* FORMAT X */ INSERT INTO t", "CSV", b"1"),
        (b"INSERT INTO `FORMAT x` (`values`) FORMAT CSV\n1", "INSERT INTO `FORMAT x` (`values`)", "CSV", b"1"),
        (
            b"INSERT INTO t SETTINGS a = 'FORMAT Y\\'' FORMAT TSV\n",
            "INSERT INTO t SETTINGS a = 'FORMAT Y\\''",
            "TSV",
            b"",
        ),
    ],
)
def test_insert_is_split(sql: bytes, head: str, name: str, data: bytes) -> None:
    split = split_insert(sql)
    assert split is not None
    assert (split.sql, split.format, sql[split.data_start :]) == (head, name, data)


@pytest.mark.parametrize(
    "sql",
    [b"", b"SELECT 1 FORMAT JSON", b"INSERT INTO t SELECT 1 FORMAT JSON", b"INSERT INTO t FROM INFILE 'x'", b"INSERT"],
)
def test_other_statements_are_not_split(sql: bytes) -> None:
    assert split_insert(sql) is None


@given(st.binary(max_size=200))
def test_any_bytes(sql: bytes) -> None:
    for text in (sql, b"INSERT INTO t " + sql):
        try:
            split = split_insert(text)
        except (UnfinishedStatementError, UnicodeDecodeError):
            continue
        assert split is None or split.data_start <= len(text)


@given(st.binary(max_size=200))
def test_data_is_never_read_as_statement(data: bytes) -> None:
    split = split_insert(b"INSERT INTO t FORMAT Native\n" + data)
    assert split is not None
    assert (split.sql, split.data_start) == ("INSERT INTO t", 28)
