"""What one client may cost the others: the engine's own tables, places of readers, memory, statements left behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http, ask
from services.warehouse.embedded.head import HEADS
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("within", "statement"),
    [
        ("default", "DROP DATABASE system"),
        ("default", "DROP DATABASE INFORMATION_SCHEMA"),
        ("default", "DROP DATABASE information_schema"),
        ("default", "DROP TABLE system.one"),
        ("system", "DROP TABLE one"),
        ("default", "TRUNCATE DATABASE system"),
        ("default", "RENAME TABLE system.one TO elsewhere"),
        ("default", "RENAME DATABASE system TO elsewhere"),
        ("default", "CREATE TABLE system.foo (a Int8) ENGINE = Memory"),
        ("default", "CREATE OR REPLACE TABLE system.one (a Int8) ENGINE = Memory"),
        ("system", "CREATE VIEW foo AS SELECT 1"),
        ("default", "ALTER TABLE system.one ADD COLUMN b Int8"),
        ("default", "INSERT INTO system.one SELECT 1"),
    ],
)
def test_the_engine_s_own_tables_cannot_be_changed(http_client: Http, within: str, statement: str) -> None:
    reply = http_client.request("POST", statement, {"database": within})
    assert (reply.status, reply.exception_code) == (403, 497), reply.text
    assert http_client.value("SELECT count() FROM system.one") == "1"


@pytest.mark.parametrize(
    "statement",
    [
        "SET max_threads = 1",
        "USE system",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "CREATE /* */ TEMPORARY TABLE t (a Int8)",
        "CREATE OR REPLACE TEMPORARY TABLE t (a Int8)",
        "CREATE TEMPORARY VIEW v AS SELECT 1",
    ],
)
def test_what_only_a_session_would_keep_is_refused(http_client: Http, statement: str) -> None:
    reply = http_client.sql(statement)
    assert reply.status != 200
    assert "without a session_id" in reply.text or reply.exception_code == 62, reply.text


def test_a_table_named_temporary_is_none(http_client: Http) -> None:
    assert http_client.sql("CREATE TABLE temporary (a Int8) ENGINE = Memory").status == 200


@pytest.mark.parametrize("rows", [0, 1, 200_000])
@pytest.mark.parametrize("output_format", sorted(HEADS))
def test_blocks_have_one_head(http_client: Http, output_format: str, rows: int) -> None:
    """Sent block by block, a result is what the engine makes of it in one."""
    columns = "number AS `a\"b,\\tc`, toString(number) AS `é''`"
    whole = http_client.sql(
        f"SELECT {columns} FROM numbers({rows}) FORMAT {output_format} SETTINGS max_block_size = 1000000"
    )
    assert whole.status == 200, whole.text
    pieces = http_client.sql(
        f"SELECT {columns} FROM numbers({rows}) FORMAT {output_format} SETTINGS max_block_size = 999"
    )
    assert pieces.body == whole.body
    base = output_format.split("With")[0]
    rest = http_client.sql(f"SELECT {columns} FROM numbers({rows}) FORMAT {base}").body
    assert whole.body.endswith(rest)
    assert len(whole.body) - len(rest) < 100


def test_names_in_csv_may_hold_newlines_and_quotes() -> None:
    names, types = b'"a\n""b","c"\n', b'"String","UInt8"\n'
    assert HEADS["CSVWithNames"](names + b'"\n",1\n') == len(names)
    assert HEADS["CSVWithNamesAndTypes"](names + types + b'"\n",1\n') == len(names + types)


def test_a_result_that_must_be_whole_is_bounded(tmp_path: Path) -> None:
    options = EmbeddedOptions(data=tmp_path, port=unused_port(), password=PASSWORD, max_whole_bytes=1 << 20)
    server = ClickHouseProcess(options)
    server.start()
    http = Http(server.address)
    large = "SELECT number FROM numbers(1000000) FORMAT "
    assert http.sql(f"{large} JSON").exception_code == 396
    assert http.sql(f"{large} JSON", max_result_bytes="0").exception_code == 396
    assert http.sql(f"{large} JSON", readonly="1").exception_code == 396
    assert http.sql("SELECT 1 FORMAT JSON", readonly="1").status == 200
    assert http.sql("SELECT number FROM numbers(1000) FORMAT JSON", max_result_bytes="10").exception_code == 396
    assert len(http.sql(f"{large} CSVWithNames").body) > 6_000_000
    server.kill()


def test_readers_that_stall_lose_their_places(tmp_path: Path) -> None:
    """As many as there are places take nothing of a large reply: the next reader is served all the same."""
    options = EmbeddedOptions(
        data=tmp_path, port=unused_port(), password=PASSWORD, max_reads=2, stalled_seconds=2, max_whole_bytes=1 << 30
    )
    server = ClickHouseProcess(options)
    server.start()
    http = Http(server.address)
    peers = [
        ask(http, "SELECT number FROM numbers(100000000) FORMAT RowBinary"),
        ask(http, "SELECT repeat('x', 1000000) FROM numbers(100) FORMAT TSVRawWithNames"),
    ]
    try:
        for peer in peers:
            assert peer.recv(12) == b"HTTP/1.1 200"
        assert http.value("SELECT 1") == "1"
    finally:
        for peer in peers:
            peer.close()
        server.kill()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1 FORMAT JSON",
        "INSERT INTO left SELECT number FROM numbers(1000000000000) WHERE sipHash64(number) = 1",
    ],
)
def test_a_statement_ends_with_its_client(http_client: Http, statement: str) -> None:
    """Also one that has no output yet, or never will."""
    created = http_client.sql("CREATE TABLE left (a UInt64) ENGINE = Null")
    assert created.status == 200, created.text
    running = (
        "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%system.processes%'"
    )
    peer = ask(http_client, statement.replace("left", f"{http_client.address.database}.left"))
    deadline = time.monotonic() + 45
    while http_client.value(running) != "1":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    peer.close()
    while http_client.value(running) != "0":
        assert time.monotonic() < deadline + 20
        time.sleep(0.1)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 SETTINGS workload = 'x'",
        "SELECT 1 SETTINGS max_threads = 1, `workload` = 'x' FORMAT JSON",
        "SELECT * FROM (SELECT 1 settings \"workload\" = 'x')",
        "SELECT 1 SETTINGS workload = DEFAULT",
        "EXPLAIN SELECT 1 SETTINGS workload = 'x'",
        "INSERT INTO t SETTINGS workload = 'x' SELECT 1",
        "INSERT INTO t SETTINGS workload = 'x' VALUES (1)",
    ],
)
def test_a_client_cannot_hide_its_statement(http_client: Http, statement: str) -> None:
    """The tag by which the server finds a statement, once its client is gone, is the server's alone."""
    assert http_client.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").status == 200
    for method in (http_client.sql, http_client.get):
        assert method(statement).exception_code == 452
        assert method("SELECT 1", workload="x").exception_code == 452


def test_workload_is_a_name_like_any_other(http_client: Http) -> None:
    columns = "SELECT a AS workload, workload = 1 FROM (SELECT {workload:UInt8} AS a) WHERE workload = 1"
    assert http_client.value(f"{columns} SETTINGS max_threads = 1", param_workload="1") == "1\t1"
