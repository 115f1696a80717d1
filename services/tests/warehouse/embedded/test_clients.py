from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

if TYPE_CHECKING:
    from services.tests.warehouse.embedded.conftest import Http
    from services.warehouse.address import ClickHouseAddress


# clickhouse-connect needs lz4 up to Python 3.13, and does without it later.
CODINGS = [False, "gzip", "zstd", *(["lz4"] if find_spec("lz4") else [])]


def connect_facts(address: ClickHouseAddress) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "username": address.user,
        "password": address.password,
        "database": address.database,
    }


@pytest.mark.parametrize("compress", CODINGS)
def test_sync_client_inserts_and_reads(database: ClickHouseAddress, compress: bool | str) -> None:
    client = clickhouse_connect.get_client(**connect_facts(database), compress=compress)
    client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    summary = client.insert("t", [[n, f"row {n}"] for n in range(1000)], column_names=["a", "b"])
    assert summary.written_rows == 1000
    assert client.query(
        "SELECT sum(a), count() FROM t WHERE b != {b:String}", parameters={"b": "row 7"}
    ).result_rows == [(499500 - 7, 999)]
    assert client.query("SELECT a FROM t WHERE a < 0").result_rows == []
    client.close()


async def test_async_client_inserts_and_reads(database: ClickHouseAddress) -> None:
    client = await clickhouse_connect.get_async_client(**connect_facts(database))
    await client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    summary = await client.insert("t", [[n, f"row {n}"] for n in range(1000)], column_names=["a", "b"])
    assert summary.written_rows == 1000
    result = await client.query("SELECT a FROM t ORDER BY a")
    assert [row[0] for row in result.result_rows] == list(range(1000))
    await client.close()


def test_sync_client_sends_parameters_as_a_form(database: ClickHouseAddress) -> None:
    client = clickhouse_connect.get_client(
        **connect_facts(database), autogenerate_session_id=False, form_encode_query_params=True
    )
    assert client.query("SELECT {a:UInt8} + {b:UInt8}", parameters={"a": 1, "b": 2}).result_rows == [(3,)]
    client.close()


def test_client_learns_of_errors(database: ClickHouseAddress) -> None:
    client = clickhouse_connect.get_client(**connect_facts(database), autogenerate_session_id=False)
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT * FROM nothing")
    assert caught.value.code == 60
    with (
        pytest.raises(StreamFailureError),
        client.query_row_block_stream(
            "SELECT throwIf(number = 1000000) FROM numbers(2000000) SETTINGS max_threads = 1"
        ) as stream,
    ):
        for _ in stream:
            pass
    client.close()


@pytest.mark.parametrize("fmt", ["Parquet", "CSVWithNames", "CSV", "Arrow"])
def test_files_go_both_ways(database: ClickHouseAddress, fmt: str) -> None:
    client = clickhouse_connect.get_client(**connect_facts(database), autogenerate_session_id=False)
    client.command(
        "CREATE TABLE t (a UInt64, b String, c Nullable(DateTime64(3, 'UTC'))) ENGINE = MergeTree ORDER BY a"
    )
    client.command(
        "INSERT INTO t SELECT number, concat('row \\n\\\\ \"', toString(number)),"
        " if(number % 3 = 0, NULL, toDateTime64(number, 3, 'UTC')) FROM numbers(70000)"
    )
    file = client.raw_query("SELECT * FROM t ORDER BY a", fmt=fmt)
    client.command("CREATE TABLE again AS t ENGINE = MergeTree ORDER BY a")
    client.raw_insert("again", insert_block=file, fmt=fmt)
    differing = client.query("SELECT count() FROM (SELECT * FROM t EXCEPT SELECT * FROM again)").result_rows
    assert differing == [(0,)]
    assert client.query("SELECT count() FROM again").result_rows == [(70000,)]
    client.close()


def test_a_reply_comes_in_lz4_where_it_is_asked_for(http_client: Http) -> None:
    lz4_frame = pytest.importorskip("lz4.frame")
    asked = {"query": "SELECT repeat('x', 10000) FROM numbers(100)", "enable_http_compression": "1"}
    reply = http_client.request("GET", parameters=asked, headers={"Accept-Encoding": "lz4"})
    assert reply.headers["Content-Encoding"] == "lz4"
    assert lz4_frame.decompress(reply.body) == (b"x" * 10_000 + b"\n") * 100
    empty = http_client.request(
        "GET", parameters={**asked, "query": "SELECT 1 WHERE 0"}, headers={"Accept-Encoding": "lz4"}
    )
    assert lz4_frame.decompress(empty.body) == b""


def test_a_load_balancer_learns_that_no_replica_lags(http_client: Http) -> None:
    reply = http_client.request("GET", path="/replicas_status", authenticated=False)
    assert (reply.status, reply.text) == (200, "Ok.\n")
