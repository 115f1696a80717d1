"""Which connections are told again, and what of them, on a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from services.proxy import session_book
from services.proxy.session_book import EVERY_SECONDS, RATE_SECONDS, SessionBook

if TYPE_CHECKING:
    from services.proxy.miner import Miner
    from services.warehouse.proxy_state import Session


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Book:
    """A book, its clock, and a ClickHouse that takes everything or nothing."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.book = SessionBook("proxy-1", "instance", self.clock)

    def miner(self) -> Miner:
        shares = SimpleNamespace(
            accepted=0,
            credited=0.0,
            last_accepted_ms=0,
            rejected_by_reason={},
            best_difficulty=0.0,
            last_difficulty=0.0,
        )
        facts: dict[str, Any] = {"address": "10.0.0.1:1", "workers": {}, "user_agent": ""}
        facts |= {"difficulty_told": 0.0, "pool_difficulty": 0.0}
        pool = SimpleNamespace(name="normal")
        miner = cast("Miner", ReadMiner(pool=pool, pool_address="pool:1", shares=shares, **facts))
        self.book.begin(miner)
        return miner

    def told(self, after_seconds: float = EVERY_SECONDS, *, taken: bool = True) -> list[Session]:
        self.clock.now += after_seconds
        due = self.book.due(self.book.entries())
        ended = self.book.ended()
        if taken:
            self.book.took(due, ended)
        return [row for _, row in due] + ended


class ReadMiner:
    """What the book reads of a miner."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


@pytest.fixture
def book() -> Book:
    return Book()


def test_only_what_changed_is_told_and_not_before_its_time(book: Book) -> None:
    miner, other = book.miner(), book.miner()
    assert book.told(0.5) == []
    assert [row.connection for row in book.told(0.6)] == [1, 2]
    assert book.told() == []
    miner.shares.accepted = 1
    assert [row.accepted for row in book.told()] == [1]
    miner.shares.accepted = 2
    assert book.told(EVERY_SECONDS - 0.1) == []
    assert [row.accepted for row in book.told(0.2)] == [2]
    for change in ("user_agent", "difficulty_told"):
        setattr(other, change, 5.0)
        assert [row.connection for row in book.told()] == [2]
    other.workers["farm.rig"] = None
    other.shares.rejected_by_reason["stale"] = 3
    (row,) = book.told()
    assert (row.workers, row.rejected_by_reason) == (("farm.rig",), {"stale": 3})
    assert book.told() == []


def test_what_clickhouse_did_not_take_is_told_again_as_it_is_by_then(book: Book) -> None:
    miner = book.miner()
    for accepted in range(1, 4):
        miner.shares.accepted = accepted
        assert [row.accepted for row in book.told(taken=False)] == [accepted]
    assert [row.accepted for row in book.told(2.0)] == [3]
    book.book.end(miner, "idle")
    assert [row.disconnect_reason for row in book.told(taken=False)] == ["idle"]
    (last,) = book.told(0.0)
    assert last.disconnected_ms is not None
    assert book.told() == []


def test_a_change_while_a_row_is_under_way_is_not_lost(book: Book) -> None:
    miner = book.miner()
    book.clock.now += EVERY_SECONDS
    due = book.book.due(book.book.entries())
    miner.shares.accepted = 9
    book.book.took(due, [])
    assert [row.accepted for row in book.told()] == [9]


def test_the_ended_do_not_grow_without_bound(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_book, "ENDED_KEPT", 5)
    for _ in range(8):
        book.book.end(book.miner(), "gone")
    book.book.end(ReadMiner(), "never began")  # type: ignore[arg-type]
    assert [row.connection for row in book.told()] == [4, 5, 6, 7, 8]
    assert book.book.ended_dropped == 3


def test_the_hash_rate_is_that_of_the_last_minutes_and_is_told_while_it_falls(book: Book) -> None:
    miner = book.miner()
    rate = 0.0
    for _ in range(60):
        miner.shares.credited += 20.0
        miner.shares.accepted += 1
        (row,) = book.told()
        rate = row.hash_rate
        # 20 in each 10 s, from the start on.
        assert rate == pytest.approx(2.0 * 2**32, rel=0.02)
    rates = [row.hash_rate for _ in range(600) for row in book.told()]
    assert 20 < len(rates) < 120
    assert all(later < earlier for earlier, later in zip([rate, *rates], rates, strict=False))
    assert rates[-1] < rate * 1e-3
    assert RATE_SECONDS == 300
