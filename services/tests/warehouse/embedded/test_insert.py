"""INSERT with data: what the table refuses is told, and what an INSERT may say still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.warehouse.embedded.insert import Target

if TYPE_CHECKING:
    from services.tests.warehouse.embedded.conftest import Http


@pytest.mark.parametrize(
    ("head", "target"),
    [
        ("INSERT INTO t", Target("t")),
        ("INSERT INTO TABLE d.`t (x)`", Target("d.`t (x)`")),
        ("INSERT INTO t (a, `b)`)", Target("t", "a, `b)`")),
        ("INSERT INTO t (* EXCEPT (b))", Target("t", "* EXCEPT (b)")),
        ("INSERT INTO t SETTINGS async_insert = 0", Target("t", "", "SETTINGS async_insert = 0")),
        ("INSERT INTO t (a) SETTINGS x = '('", Target("t", "a", "SETTINGS x = '('")),
    ],
)
def test_what_an_insert_names(head: str, target: Target) -> None:
    assert Target.of(head) == target


def test_a_table_that_takes_nothing_says_so(http_client: Http) -> None:
    http_client.sql("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS table_readonly = 1")
    refused = http_client.sql("INSERT INTO t FORMAT CSV\n1\n2\n")
    assert (refused.status, refused.exception_code) == (500, 774)
    assert http_client.value("SELECT count() FROM t") == "0"


def test_columns_defaults_and_settings_of_an_insert_hold(http_client: Http) -> None:
    http_client.sql(
        "CREATE TABLE t (a UInt8, b UInt8 DEFAULT a + 1, c UInt8 MATERIALIZED a + 2, d UInt8 ALIAS a + 3,"
        " `n.x` Array(UInt8)) ENGINE = MergeTree ORDER BY a"
    )
    for statement in (
        'INSERT INTO t FORMAT JSONEachRow\n{"a":1}\n',
        'INSERT INTO t SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow\n{"a":2,"b":9,"z":1}\n',
        "INSERT INTO t (b, a, n.x) VALUES (7, 3, [5])",
        "INSERT INTO t (* EXCEPT (a, `n.x`)) FORMAT CSV\n8\n",
    ):
        assert http_client.sql(statement).status == 200
    assert http_client.value("SELECT groupArray((a, b, c, d, n.x)) FROM (SELECT *, c, d FROM t ORDER BY a)") == (
        "[(0,8,2,3,[]),(1,2,3,4,[]),(2,9,4,5,[]),(3,7,5,6,[5])]"
    )
    assert http_client.sql("INSERT INTO FUNCTION null('n UInt8') FORMAT CSV\n1\n").status == 200


def test_a_repeat_is_known_by_its_token_and_by_its_content(http_client: Http) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 10"
    http_client.sql(f"CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n {window}")
    rows = "".join(f"{number}\n" for number in range(20_000))
    for _ in range(2):
        assert http_client.sql(f"INSERT INTO t FORMAT CSV\n{rows}").status == 200
    assert http_client.value("SELECT count() FROM t") == "20000"
    for token in ("a", "b", "a"):
        assert http_client.sql("INSERT INTO t FORMAT CSV\n1\n", insert_deduplication_token=token).status == 200
    assert http_client.value("SELECT count() FROM t") == "20002"
