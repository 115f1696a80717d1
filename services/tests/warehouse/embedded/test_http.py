"""The HTTP interface, as plain requests see it."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import multiprocessing
import socket
import struct
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from services.tests.conftest import ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http, basic
from services.warehouse.embedded.configuration import ConfigurationError
from services.warehouse.embedded.engine import DataFolderInUseError
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve


def test_ping_needs_no_password(http_client: Http) -> None:
    for path in ("/ping", "/"):
        reply = http_client.request("GET", path=path, authenticated=path == "/")
        assert (reply.status, reply.body) == (200, b"Ok.\n")


def test_query_by_url_body_and_both(http_client: Http) -> None:
    assert http_client.get("SELECT 1").body == b"1\n"
    assert http_client.sql("SELECT 1").body == b"1\n"
    assert http_client.sql("+ 1", query="SELECT 1").body == b"2\n"
    assert http_client.sql("SELECT 1 FORMAT JSON").headers["X-ClickHouse-Format"] == "JSON"
    assert http_client.sql("SELECT 1 AS a", default_format="JSONEachRow").body == b'{"a":1}\n'
    assert http_client.sql("SELECT 1 AS a LIMIT 0", default_format="TabSeparatedWithNames").body == b"a\n"


def test_params_settings_and_database(http_client: Http) -> None:
    assert http_client.value("SELECT {a:UInt8} + {b:UInt8}", param_a="1", param_b="2") == "3"
    assert http_client.value("SELECT {s:String}", param_s="it's \\\\ \\n") == "it\\'s \\\\ \\n"
    assert http_client.value("SELECT getSetting('max_threads')", max_threads="3") == "3"
    assert http_client.value("SELECT currentDatabase()") == http_client.address.database
    assert http_client.sql("SELECT 1", nothing_like_this="1").exception_code == 115
    assert http_client.sql("SELECT 1", database="nothing_like_this").exception_code == 81


def test_reply_headers(http_client: Http) -> None:
    reply = http_client.sql("SELECT number FROM numbers(3)", query_id="mine")
    assert reply.headers["X-ClickHouse-Query-Id"] == "mine"
    assert reply.headers["X-ClickHouse-Timezone"] == http_client.value("SELECT timezone()")
    assert reply.headers["X-ClickHouse-Format"] == "TabSeparated"
    assert "X-ClickHouse-Format" not in http_client.sql("CREATE TABLE x (a UInt8) ENGINE = Memory").headers


@pytest.mark.parametrize(
    ("statement", "status", "code", "words"),
    [
        ("SELEC 1", 400, 62, "Syntax error"),
        ("SELECT 1; SELECT 2", 400, 62, "Multi-statements"),
        ("SELECT nothing", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nothing", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT 1 FORMAT Nothing", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT throwIf(number = 2) FROM numbers(3)", 500, 395, "throwIf"),
        ("SELECT 'a' + 1", 400, 43, "ILLEGAL_TYPE_OF_ARGUMENT"),
        ("", 400, 62, "Empty query"),
    ],
)
def test_errors_are_clickhouse_s_own(http_client: Http, statement: str, status: int, code: int, words: str) -> None:
    reply = http_client.sql(statement)
    assert (reply.status, reply.exception_code) == (status, code)
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert words in reply.text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y; SELECT"}\n'),
        ("RowBinary", struct.pack("<Q", 1) + b"\x01x" + struct.pack("<Q", 2) + b"\x09y; SELECT"),
        ("TabSeparated", b"1\tx\n2\ty; SELECT\n"),
        ("Values", b"(1,'x'), (2,'y; SELECT')"),
        (
            "Native",
            b"\x02\x02\x01a\x06UInt64" + struct.pack("<QQ", 1, 2) + b"\x01b\x06String\x01x\x09y; SELECT",
        ),
    ],
)
@pytest.mark.parametrize("place", ["body", "url"])
@pytest.mark.parametrize("coding", ["", "gzip", "deflate", "zstd"])
def test_insert(http_client: Http, name: str, data: bytes, place: str, coding: str) -> None:
    http_client.sql("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    statement = f"INSERT INTO t (a, b) FORMAT {name}"
    body = data if place == "url" else statement.encode() + b"\n" + data
    query = {"query": statement} if place == "url" else {}
    headers = {"Content-Encoding": coding} if coding else {}
    if coding == "zstd":
        from backports import zstd

        body = zstd.compress(body)
    elif coding:
        body = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    reply = http_client.request("POST", body, query, headers=headers)
    assert reply.status == 200, reply.text
    assert reply.summary["written_rows"] == "2"
    assert http_client.value("SELECT groupArray((a, b)) FROM t") == "[(1,'x'),(2,'y; SELECT')]"


@pytest.mark.parametrize("setting", ["dialect = 'kusto'", "nothing_like_this = 1", "max_threads = 'x'"])
def test_errors_of_settings_read_alike_wherever_they_stand(http_client: Http, setting: str) -> None:
    name, _, value = setting.partition(" = ")
    in_url = http_client.sql("SELECT 1", **{name: value.strip("'")})
    in_sql = http_client.sql(f"SELECT 1 SETTINGS {setting}")
    assert in_sql.status != 200
    assert (in_sql.status, in_sql.text) == (in_url.status, in_url.text)


def test_insert_that_fails_writes_nothing(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    reply = http_client.sql('INSERT INTO t FORMAT JSONEachRow\n{"a":1}\n{"a":"x"}\n')
    assert reply.status == 400
    assert http_client.value("SELECT count() FROM t") == "0"


def test_insert_select_tells_what_it_wrote(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    assert http_client.sql("INSERT INTO t SELECT number FROM numbers(7)").summary["written_rows"] == "7"


def test_bodies_that_do_not_decode(http_client: Http) -> None:
    def post(body: bytes, coding: str) -> int:
        return http_client.request("POST", body, headers={"Content-Encoding": coding}).exception_code

    assert post(b"SELECT 1", "gzip") == 271
    assert post(gzip.compress(b"SELECT 1")[:-9], "gzip") == 271
    assert post(b"SELECT 1", "br") == 48
    assert http_client.value("SELECT 1") == "1"


def test_large_statement_is_refused(http_client: Http) -> None:
    assert http_client.sql("SELECT '" + "x" * 300_000 + "'").status == 413


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_reply_is_compressed_when_asked(http_client: Http, coding: str) -> None:
    accept = {"Accept-Encoding": coding}
    plain = http_client.request("POST", b"SELECT number FROM numbers(1000)", headers=accept)
    assert "Content-Encoding" not in plain.headers
    reply = http_client.request(
        "POST", b"SELECT number FROM numbers(1000)", {"enable_http_compression": "1"}, headers=accept
    )
    assert reply.headers["Content-Encoding"] == coding
    assert len(reply.body) < len(plain.body)
    if coding == "gzip":
        assert gzip.decompress(reply.body) == plain.body


def test_get_is_read_only(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    for statement in ("INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (a UInt8) ENGINE = Memory"):
        assert http_client.get(statement).exception_code == 164
        assert http_client.get(statement, readonly="0").exception_code == 164
    assert http_client.get("SELECT count() FROM t", max_threads="1").body == b"0\n"
    assert http_client.sql("INSERT INTO t VALUES (1)", readonly="1").exception_code == 164


def test_access(http_client: Http) -> None:
    address = http_client.address

    def status(headers: dict[str, str] | None = None, **query: str) -> tuple[int, int]:
        asked = {"query": "SELECT 1", **query}
        reply = http_client.request("GET", None, asked, headers=headers, authenticated=False)
        return reply.status, reply.exception_code

    assert status({"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password}) == (200, 0)
    assert status({"Authorization": basic(address.user, address.password)}) == (200, 0)
    assert status(user=address.user, password=address.password) == (200, 0)
    assert status(password=address.password) == (200, 0)
    wrong: list[dict[str, str]] = [
        {},
        {"X-ClickHouse-User": address.user, "X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-User": "other", "X-ClickHouse-Key": address.password},
        {"Authorization": basic(address.user, "wrong")},
        {"Authorization": "Basic not base64"},
        {"Authorization": f"Bearer {address.password}"},
    ]
    for headers in wrong:
        assert status(headers) == (403, 516)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8123"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
    ],
)
def test_pages_of_other_sites_are_refused(http_client: Http, headers: dict[str, str]) -> None:
    for path in ("/", "/ping"):
        assert http_client.request("GET", None, {"query": "SELECT 1"}, path=path, headers=headers).status == 403
    local = {"Host": f"localhost:{http_client.address.port}"}
    assert http_client.request("GET", None, {"query": "SELECT 1"}, headers=local).status == 200


def resident_bytes() -> int:
    """Of the servers that this test run has started."""
    total = 0
    for child in multiprocessing.active_children():
        status = Path(f"/proc/{child.pid}/status").read_text()
        total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024
    return total


def test_large_result_streams(http_client: Http) -> None:
    """400 MB go through, and the server's memory stays."""
    address = http_client.address
    connection = http.client.HTTPConnection(address.host, address.port, timeout=15)
    credentials = {"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password}
    statement = b"SELECT number, repeat('x', 92) FROM numbers(4000000) FORMAT RowBinary"
    before = resident_bytes()
    highest = total = 0
    connection.request("POST", "/", statement, credentials)
    reply = connection.getresponse()
    while chunk := reply.read(1 << 20):
        total += len(chunk)
        highest = max(highest, resident_bytes())
    assert total == 4_000_000 * 101
    assert max(highest, resident_bytes()) - before < 200_000_000
    connection.close()


def test_failure_after_the_first_block_shows(http_client: Http) -> None:
    address = http_client.address
    connection = http.client.HTTPConnection(address.host, address.port, timeout=15)
    credentials = {"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password}
    statement = b"SELECT throwIf(number = 5000000) FROM numbers(10000000) SETTINGS max_threads = 1 FORMAT RowBinary"
    connection.request("POST", "/", statement, credentials)
    reply = connection.getresponse()
    assert reply.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        reply.read()
    tag = reply.headers["X-ClickHouse-Exception-Tag"].encode()
    tail = caught.value.partial[-2000:]
    assert b"__exception__\r\n" + tag in tail
    assert b"Code: 395" in tail
    connection.close()


def test_failure_after_a_small_first_block_has_a_status_of_its_own(http_client: Http) -> None:
    reply = http_client.sql(
        "SELECT throwIf(number = 150) FROM numbers(200) SETTINGS max_threads = 1, max_block_size = 100 FORMAT RowBinary"
    )
    assert (reply.status, reply.exception_code) == (500, 395)


@pytest.mark.parametrize("rows", [0, 1, 65_536, 65_537, 300_000])
def test_answer_is_whole_on_either_side_of_a_small_one(http_client: Http, rows: int) -> None:
    statement = f"SELECT toUInt8(number % 251) FROM numbers({rows}) ORDER BY number FORMAT RowBinary"
    expected = (bytes(range(251)) * (rows // 251 + 1))[:rows]
    assert http_client.sql(statement).body == expected
    coded = http_client.request(
        "POST", statement, {"enable_http_compression": "1"}, headers={"Accept-Encoding": "gzip"}
    )
    assert gzip.decompress(coded.body) == expected


def test_slow_statement_delays_no_other_and_ends_with_its_client(http_client: Http) -> None:
    slow = "SELECT sleepEachRow(0.5) FROM numbers(600) SETTINGS max_block_size = 1, log_comment = 'slow one'"
    address = http_client.address
    peer = socket.create_connection((address.host, address.port), timeout=60)
    body = slow.encode()
    peer.sendall(
        f"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: {address.user}\r\n"
        f"X-ClickHouse-Key: {address.password}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'slow one'"
    deadline = time.monotonic() + 45
    while http_client.value(running) != "1":
        assert time.monotonic() < deadline
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    http_client.sql("INSERT INTO t VALUES (1)")
    assert http_client.value("SELECT a FROM t") == "1"
    assert http_client.value(running) == "1", "the slow one goes on all the while"
    peer.close()
    deadline = time.monotonic() + 45
    while http_client.value(running) != "0":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_body_that_ends_early_inserts_nothing(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    address = http_client.address
    peer = socket.create_connection((address.host, address.port), timeout=60)
    peer.sendall(
        f"POST /?database={address.database} HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: {address.user}\r\n"
        f"X-ClickHouse-Key: {address.password}\r\nContent-Length: 1000\r\n\r\n".encode()
        + b'INSERT INTO t FORMAT JSONEachRow\n{"a":1}\n'
    )
    time.sleep(0.3)
    peer.close()
    time.sleep(0.3)
    assert http_client.value("SELECT count() FROM t") == "0"


def test_many_at_once(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    failures: list[str] = []

    def work(number: int) -> None:
        rows = "".join(json.dumps({"a": number * 1000 + row}) + "\n" for row in range(100))
        for _ in range(2):
            reply = http_client.sql(f"INSERT INTO t FORMAT JSONEachRow\n{rows}")
            if reply.status != 200 or http_client.sql("SELECT count() FROM t").status != 200:
                failures.append(reply.text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert http_client.value("SELECT count() FROM t") == "4000"


async def test_beyond_this_machine_only_with_a_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CLICKHOUSE_PASSWORD"):
        await serve(EmbeddedOptions(data=tmp_path, host="0.0.0.0", port=unused_port()))


async def test_storage_file_that_cannot_be_used(tmp_path: Path) -> None:
    storage = tmp_path / "storage.xml"
    options = EmbeddedOptions(data=tmp_path / "data", port=unused_port(), storage=storage)
    for text in ("<clickhouse>", "<clickhouse/>"):
        storage.write_text(text)
        with pytest.raises(ConfigurationError, match=str(storage)):
            await serve(options)


async def test_one_process_per_data_folder(tmp_path: Path) -> None:
    options = EmbeddedOptions(data=tmp_path / "data", port=unused_port())
    server = ClickHouseProcess(options)
    await asyncio.to_thread(server.start)
    with pytest.raises(DataFolderInUseError, match="another process serves this data folder"):
        await serve(replace(options, port=unused_port()))
    await asyncio.to_thread(server.kill)
