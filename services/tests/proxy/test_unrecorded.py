from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from services.proxy import unrecorded
from services.proxy.unrecorded import UnrecordedShares
from services.tests.warehouse.rows import make_share

if TYPE_CHECKING:
    import pytest

    from services.warehouse.records import Share

INSTANCE = "00000000-0000-0000-0000-000000000001"


def lost(**changes: Any) -> Share:
    return make_share(random.Random(1), **{"accepted": True, "reason": "", "pool_label": "normal"} | changes)


def test_totals_are_told_until_clickhouse_has_them() -> None:
    book = UnrecordedShares("proxy", INSTANCE)
    book.note(lost(worker="a", ts_ms=2000))
    book.note(lost(worker="a", ts_ms=1000, accepted=False, reason="stale"))
    (row,) = book.due()
    assert (row.worker, row.accepted, row.rejected, row.first_ms, row.last_ms) == ("a", 1, 1, 1000, 2000)
    assert book.due()[0].accepted == 1
    book.took([row])
    assert book.due() == []
    book.note(lost(worker="a", ts_ms=3000))
    assert [(row.accepted, row.rejected) for row in book.due()] == [(2, 1)]


def test_what_grows_while_it_is_told_is_due_again() -> None:
    book = UnrecordedShares("proxy", INSTANCE)
    book.note(lost(worker="a"))
    told = book.due()
    book.note(lost(worker="a"))
    book.took(told)
    assert [row.accepted for row in book.due()] == [2]


def test_workers_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrecorded, "WORKERS_KEPT", 2)
    book = UnrecordedShares("proxy", INSTANCE)
    for worker in ("a", "b", "c", "d", "a"):
        book.note(lost(worker=worker))
    assert {row.worker: row.accepted for row in book.due()} == {"a": 2, "b": 1, unrecorded.OTHERS: 2}
