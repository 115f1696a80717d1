from __future__ import annotations

import pytest

from services.api.accept import best_of

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
