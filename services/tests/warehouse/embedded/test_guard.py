"""Which verdicts the guard may keep: those that no bound value changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.warehouse.embedded.guard import binds_plain_values

if TYPE_CHECKING:
    from services.tests.warehouse.embedded.conftest import Http


@pytest.mark.parametrize(
    ("statement", "is_plain"),
    [
        ("SELECT 1", True),
        ("SELECT {a:Int64} + {b:UInt8}, {c:String}", True),
        ("SELECT '{a:Identifier}' -- {b:Identifier}\n", True),
        ("SELECT * FROM {t:Identifier}", False),
        ("SELECT {a:Int64} FROM {t:Identifier}", False),
        ("SELECT {a:Array(String)}", False),
        ("SELECT {a:Nullable(Int64)}", False),
        ("SELECT {`a`:Int64}", False),
        ("SELECT {", False),
        ("SELECT {a:Int64", False),
    ],
)
def test_plain_values_are_numbers_and_strings(statement: str, is_plain: bool) -> None:
    assert binds_plain_values(statement) == is_plain


def test_a_known_statement_takes_the_values_bound_to_it_each_time(http_client: Http) -> None:
    sql = "SELECT {a:Int64} + 1, {b:String}"
    for number, text in ((1, "x"), (2, "file(1)"), (3, "SELECT")):
        assert http_client.value(sql, param_a=str(number), param_b=text) == f"{number + 1}\t{text}"
    assert http_client.sql(sql, param_a="1 FROM file(2)", param_b="").exception_code != 0
    assert http_client.sql(sql, param_a="1").exception_code == 456


def test_a_name_is_judged_each_time(http_client: Http) -> None:
    sql = "SELECT count() FROM {t:Identifier}"
    assert http_client.value("SELECT count() FROM system.{t:Identifier}", param_t="one") == "1"
    assert http_client.sql(sql, param_t="nowhere").exception_code == 60
