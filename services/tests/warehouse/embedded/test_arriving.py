"""Rows that are staged while they come in: however they come, all of them are stored, or none."""

from __future__ import annotations

import http.client
import io
import threading
import time
from typing import TYPE_CHECKING

import pytest

from services.warehouse.embedded.arriving import PATIENCE_SECONDS, ArrivingRows, StalledError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.tests.warehouse.embedded.conftest import Http

ROWS = 200_000
DATA = b"".join(number.to_bytes(8, "little") for number in range(ROWS))
HALF = len(DATA) // 2
PIECE_BYTES = 100_000
INSERT = b"INSERT INTO t FORMAT RowBinary\n"


@pytest.fixture
def table(http_client: Http) -> Http:
    assert http_client.sql("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n").status == 200
    return http_client


def stored(table: Http) -> str:
    return table.value("SELECT (count(), uniqExact(n)) FROM t")


def pieces(data: bytes, pause_seconds: float = 0.0) -> Iterator[bytes]:
    """An INSERT of `data`, with a pause in its middle."""
    yield INSERT
    for at in range(0, len(data), PIECE_BYTES):
        if at == len(data) // 2 // PIECE_BYTES * PIECE_BYTES:
            time.sleep(pause_seconds)
        yield data[at : at + PIECE_BYTES]


def begin(table: Http, body: Iterator[bytes]) -> http.client.HTTPConnection:
    """The connection on which `body` has been sent, in chunks."""
    address = table.address
    connection = http.client.HTTPConnection(address.host, address.port, timeout=60)
    headers = {"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password, "Transfer-Encoding": "chunked"}
    try:
        connection.request("POST", f"/?database={address.database}", body, headers, encode_chunked=True)
    except BaseException:
        connection.close()
        raise
    return connection


def post(table: Http, body: Iterator[bytes]) -> tuple[int, str]:
    connection = begin(table, body)
    try:
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("pause_seconds", [0.0, 3 * PATIENCE_SECONDS])
def test_all_rows_are_stored_once(table: Http, pause_seconds: float) -> None:
    assert post(table, pieces(DATA, pause_seconds)) == (200, "")
    assert stored(table) == f"({ROWS},{ROWS})"


def test_many_at_once(table: Http) -> None:
    """One of them is staged while it comes in, the others once they are there."""
    told: list[tuple[int, str]] = []
    threads = [threading.Thread(target=lambda: told.append(post(table, pieces(DATA, 0.1)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [(200, "")] * 6
    assert stored(table) == f"({6 * ROWS},{ROWS})"


def test_rows_that_end_in_the_middle_of_one_insert_nothing(table: Http) -> None:
    status, text = post(table, pieces(DATA[:-3]))
    assert (status, "CANNOT_READ_ALL_DATA" in text) == (500, True)
    assert stored(table) == "(0,0)"


def test_an_unknown_table_is_told_after_the_last_row(http_client: Http) -> None:
    status, text = post(http_client, pieces(DATA))
    assert (status, "UNKNOWN_TABLE" in text) == (404, True)


def test_a_client_that_leaves_inserts_nothing_and_blocks_nobody(table: Http) -> None:
    for _ in range(6):  # more than there are places

        def body() -> Iterator[bytes]:
            yield from pieces(DATA[:HALF])
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            begin(table, body())
    assert post(table, pieces(DATA)) == (200, "")
    assert stored(table) == f"({ROWS},{ROWS})"


def test_rows_are_read_as_they_come() -> None:
    rows = ArrivingRows(io.BytesIO(b"ab"))
    assert rows.read(2) == b"ab"
    with pytest.raises(StalledError):
        rows.read(1)
    rows.write(b"cde")
    assert rows.read(2) == b"cd"
    rows.end()
    assert [rows.read(2), rows.read(2)] == [b"e", b""]
    rows.rewind()
    assert rows.read(9) == b"abcde"


def test_who_reads_is_told_to_stop() -> None:
    rows = ArrivingRows(io.BytesIO(b"ab"))
    rows.stop()
    with pytest.raises(StalledError):
        rows.read(1)
    rows.rewind()
    assert rows.read(2) == b"ab"
    rows.close()
    with pytest.raises(StalledError):
        rows.read(1)
