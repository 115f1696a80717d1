"""X-ClickHouse-Progress while a long statement is under way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from services.tests.warehouse.embedded.conftest import ask
from services.tests.warehouse.embedded.test_clients import connect_facts
from services.tests.warehouse.embedded.test_sessions import ENDLESS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from services.tests.warehouse.embedded.conftest import Http
    from services.warehouse.address import ClickHouseAddress

ASKED = {"send_progress_in_http_headers": "1", "http_headers_progress_interval_ms": "50"}
FAILS_LATE = "SELECT sum(throwIf(sleepEachRow(0.2) + number = 4)) FROM numbers(5)"


def lines(peer: socket.socket) -> Iterator[str]:
    """What comes, line by line."""
    text = b""
    while chunk := peer.recv(4096):
        text += chunk
        while b"\r\n" in text:
            line, text = text.split(b"\r\n", 1)
            yield line.decode()


def figures(line: str) -> dict[str, int]:
    name, _, value = line.partition(": ")
    assert name == "X-ClickHouse-Progress"
    return {name: int(number) for name, number in json.loads(value).items()}


def test_lines_come_while_the_statement_runs(http_client: Http) -> None:
    peer = ask(http_client, f"{ENDLESS} FORMAT JSON", **ASKED)
    came = lines(peer)
    assert next(came) == "HTTP/1.1 200 OK"
    told = [figures(next(came)) for _ in range(5)]
    peer.close()
    assert [facts["read_rows"] for facts in told] == sorted(facts["read_rows"] for facts in told)
    assert told[0]["read_rows"] < told[-1]["read_rows"]
    assert 0 < told[0]["elapsed_ns"] < told[-1]["elapsed_ns"]
    assert told[-1]["total_rows_to_read"] >= told[-1]["read_rows"]


@pytest.mark.parametrize("suffix", ["", " FORMAT JSON"])
def test_the_answer_goes_on_after_them(http_client: Http, suffix: str) -> None:
    """One made block by block, and one made whole."""
    reply = http_client.sql(f"SELECT sum(sleepEachRow(0.2)) FROM numbers(5){suffix}", **ASKED, max_block_size="1")
    assert reply.status == 200
    assert json.loads(reply.headers["X-ClickHouse-Progress"])["elapsed_ns"] > "0"
    assert reply.headers["X-ClickHouse-Timezone"]
    assert reply.headers["X-ClickHouse-Summary"]
    assert reply.text == "0\n" if not suffix else json.loads(reply.text)["rows"] == 1


def test_an_error_comes_after_them_with_its_code(http_client: Http) -> None:
    reply = http_client.sql(FAILS_LATE, **ASKED, max_block_size="1")
    assert "X-ClickHouse-Progress" in reply.headers
    assert (reply.status, reply.exception_code) == (200, 395)
    assert reply.text.startswith("Code: 395. DB::Exception: ")


def test_an_insert_tells_too(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (n UInt64, m UInt8 MATERIALIZED sleep(1)) ENGINE = Memory")
    reply = http_client.sql("INSERT INTO t (n) FORMAT CSV\n1\n", **ASKED)
    assert (reply.status, reply.text) == (200, "")
    assert "X-ClickHouse-Progress" in reply.headers
    assert reply.summary["written_rows"] == "1"
    assert http_client.value("SELECT count() FROM t") == "1"


def test_who_does_not_ask_is_not_told(http_client: Http) -> None:
    assert "X-ClickHouse-Progress" not in http_client.sql("SELECT sleep(0.3)").headers
    wrong = http_client.sql("SELECT 1", http_headers_progress_interval_ms="x")
    assert (wrong.status, wrong.exception_code) == (400, 36)


def test_a_connection_serves_again_after_them(database: ClickHouseAddress) -> None:
    settings = {"send_progress_in_http_headers": 1, "http_headers_progress_interval_ms": 50}
    client = clickhouse_connect.get_client(**connect_facts(database), settings=settings)
    for _ in range(3):
        assert client.query("SELECT sum(sleepEachRow(0.1)), count() FROM numbers(4)").result_rows == [(0, 4)]
    with pytest.raises(DatabaseError, match="395"):
        client.query(FAILS_LATE, settings={"max_block_size": 1})
    assert client.command("SELECT 1") == 1
    client.close()
