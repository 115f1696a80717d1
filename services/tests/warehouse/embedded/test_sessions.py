"""session_id: what one request leaves for the next ones, over clickhouse-connect and plain HTTP."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest

from services.tests.warehouse.embedded.conftest import ask
from services.tests.warehouse.embedded.test_clients import connect_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.tests.warehouse.embedded.conftest import Http
    from services.warehouse.address import ClickHouseAddress


ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"


def until_sync(condition: Callable[[], bool], every_seconds: float = 0.05) -> None:
    """Returns once `condition` holds."""
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every_seconds)


@pytest.fixture
def session() -> dict[str, str]:
    return {"session_id": str(uuid.uuid4())}


def test_a_client_has_tables_and_settings_of_its_own(database: ClickHouseAddress) -> None:
    """As clickhouse-connect is by default: with a session_id that it made up."""
    first = clickhouse_connect.get_client(**connect_facts(database))
    second = clickhouse_connect.get_client(**connect_facts(database))
    first.command("CREATE TEMPORARY TABLE mine (n UInt64, word String DEFAULT 'none')")
    assert first.insert("mine", [[n, "row"] for n in range(1000)], column_names=["n", "word"]).written_rows == 1000
    first.command("INSERT INTO mine (n) SELECT 1000")
    assert first.query("SELECT count(), countIf(word = 'none') FROM mine").result_rows == [(1001, 1)]
    assert second.command("EXISTS TEMPORARY TABLE mine") == 0
    first.command("SET max_block_size = 77")
    assert first.command("SELECT getSetting('max_block_size')") == 77
    assert first.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 5}).result_rows == [(5,)]
    assert first.command("SELECT getSetting('max_block_size')") == 77
    assert second.command("SELECT getSetting('max_block_size')") != 77
    first.command("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
    assert first.insert("kept", [[n] for n in range(10)], column_names=["n"]).written_rows == 10
    assert second.command("SELECT count() FROM kept") == 10
    first.close()
    second.close()


def test_a_request_leaves_nothing_of_its_url(http_client: Http, session: dict[str, str]) -> None:
    http_client.sql("SET max_threads = 3", **session)
    told = "SELECT (getSetting('max_threads'), getSetting('max_block_size'), {a:UInt8}, currentDatabase())"
    url = {"max_threads": "2", "max_block_size": "99", "param_a": "7", "database": "system"}
    before = http_client.value("SELECT getSetting('max_block_size')")
    assert http_client.value(told, **session, **url) == "(2,99,7,'system')"
    assert http_client.sql(told, **session).exception_code == 456  # no parameter a
    database = http_client.address.database
    assert http_client.value(told, **session, param_a="8") == f"(3,{before},8,'{database}')"
    assert http_client.sql("SELECT 1", **session, nothing_like_this="1").exception_code == 115
    assert http_client.sql("SELECT 1", **session, format_schema="x").exception_code == 452
    assert http_client.value("SELECT getSetting('max_threads')", **session) == "3"


def test_use_stays(http_client: Http, session: dict[str, str]) -> None:
    assert http_client.sql("USE system", **session).status == 200
    plain = {"query": "SELECT currentDatabase()", **session}
    headers = {"X-ClickHouse-User": http_client.address.user, "X-ClickHouse-Key": http_client.address.password}
    assert http_client.request("POST", None, plain, headers=headers, authenticated=False).text == "system\n"


def test_a_statement_that_fails_leaves_the_session(http_client: Http, session: dict[str, str]) -> None:
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session).status == 200
    assert http_client.sql("INSERT INTO mine FORMAT CSV\n1\n2\n", **session).status == 200
    assert http_client.sql("INSERT INTO mine FORMAT CSV\n3\nfour\n", **session).status == 400
    assert http_client.sql("SELECT nothing", **session).exception_code == 47
    late = "SELECT throwIf(number = 1000000) FROM numbers(2000000) SETTINGS max_threads = 1"
    with pytest.raises(http.client.IncompleteRead):
        http_client.sql(late, **session)
    assert http_client.value("SELECT (count(), sum(n)) FROM mine", **session) == "(2,3)"


def test_a_session_in_use_is_locked_until_its_client_has_gone(http_client: Http, session: dict[str, str]) -> None:
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session).status == 200
    peer = ask(http_client, f"{ENDLESS} FORMAT JSON", **session)
    until_sync(lambda: http_client.sql("SELECT 1", **session).exception_code == 373)
    peer.close()
    until_sync(lambda: http_client.sql("SELECT count() FROM mine", **session).status == 200)


def test_a_session_ends(http_client: Http, session: dict[str, str]) -> None:
    check = {**session, "session_check": "1"}
    assert http_client.sql("SELECT 1", **check).exception_code == 372
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session).status == 200
    assert http_client.sql("SELECT count() FROM mine", **check).status == 200
    assert http_client.sql("SELECT count() FROM mine", **session, close_session="1").status == 200
    assert http_client.sql("SELECT 1", **check).exception_code == 372
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session, session_timeout="1").status == 200
    until_sync(
        lambda: http_client.sql("SELECT 1", **check, session_timeout="1").exception_code == 372, every_seconds=1.5
    )
    assert http_client.sql("SELECT count() FROM mine", **session).exception_code == 60


@pytest.mark.parametrize("timeout", ["3601", "-1", "x", "1e3"])
def test_a_timeout_that_cannot_be(http_client: Http, session: dict[str, str], timeout: str) -> None:
    assert http_client.sql("SELECT 1", **session, session_timeout=timeout).exception_code == 374


def test_reading_requests_write_nothing_in_a_session_either(http_client: Http, session: dict[str, str]) -> None:
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session).status == 200
    http_client.sql("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    for statement in ("DROP TABLE t", "INSERT INTO t SELECT 1", "INSERT INTO t VALUES (1)", "TRUNCATE TABLE t"):
        assert http_client.get(statement, **session).exception_code == 164
        assert http_client.sql(statement, **session, readonly="1").exception_code == 164
    assert http_client.get("SELECT count() FROM mine", **session).text == "0\n"
    assert http_client.get("SHOW TABLES", **session).text == "t\n"
    assert http_client.value("SELECT count() FROM t", **session) == "0"


@pytest.mark.parametrize(
    "statement", ["SET workload = 'x'", "SET max_threads = 1, workload = 'x'", "SET dialect = 'prql'"]
)
def test_a_session_sets_no_more_than_a_request_may(http_client: Http, session: dict[str, str], statement: str) -> None:
    assert http_client.sql(statement, **session).exception_code == 452


def test_rows_of_a_session_are_seen_by_many_threads_one_after_the_other(
    http_client: Http, session: dict[str, str]
) -> None:
    assert http_client.sql("CREATE TEMPORARY TABLE mine (n UInt64)", **session).status == 200
    codes: list[int] = []

    def insert() -> None:
        until_sync(lambda: http_client.sql("INSERT INTO mine FORMAT CSV\n1\n", **session).status == 200)
        codes.append(200)

    threads = [threading.Thread(target=insert) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 4
    assert http_client.value("SELECT count() FROM mine", **session) == "4"
