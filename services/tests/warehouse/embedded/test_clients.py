from __future__ import annotations

from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress


def connect_facts(address: ClickHouseAddress) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "username": address.user,
        "password": address.password,
        "database": address.database,
    }


@pytest.mark.parametrize("compress", [False, "gzip", "zstd"])
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
