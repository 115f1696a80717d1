from __future__ import annotations

import pytest

from services.api.accept import best_of, takes_gzip

OFFERED = ("application/json", "text/csv", "application/vnd.apache.parquet")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0.5, text/csv;q=0.8", "text/csv"),
        ("application/json;q=0, */*", "text/csv"),
        ("application/*;q=0.2, application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/html", None),
        ("*/*;q=0", None),
        ("application/json;q=nan", None),
        ("application/json;q=x", None),
        (",;,", None),
    ],
)
def test_the_client_chooses(accept: str | None, chosen: str | None) -> None:
    assert best_of(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("br, deflate", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzipped", False),
    ],
)
def test_what_is_refused_is_not_compressed(accept_encoding: str, taken: bool) -> None:
    assert takes_gzip(accept_encoding) is taken
