"""Addresses read into questions, and written again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

import pytest

from services.dashboard.links import name_in_path, worker_path
from services.dashboard.periods import PERIODS, Period, PeriodError, asked_period
from services.dashboard.share_form import FormError, asked_cursor, asked_form, cursor_text
from services.warehouse.share_figures import ShareCursor
from services.warehouse.share_query import ShareQuery

NOW = 1_789_000_000


def unix(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize("name", PERIODS)
def test_a_named_period_ends_now(name: str) -> None:
    period = asked_period({"period": name, "from": "2020-01-01T00:00"}, NOW)
    assert period == Period(name, NOW - PERIODS[name], NOW)
    assert 40 <= period.seconds / period.step_seconds <= 240
    assert 5 <= period.seconds / period.heat_seconds <= 170


def test_a_custom_period_is_the_one_asked_for() -> None:
    start, end = "2026-03-29T01:30:05", "2026-03-29T03:30"
    asked = {"period": "custom", "from": start, "to": end}
    period = asked_period(asked, NOW)
    assert (period.start, period.end) == (unix(start), unix(end))
    assert asked_period({"from": start + "Z", "to": end}, NOW) == period
    assert asked_period({"from": str(unix(start)), "to": str(unix(end))}, NOW) == period
    assert asked_period(period.fixed(), 0) == period
    assert asked_period({"from": start}, NOW) == Period("custom", unix(start), NOW)
    assert period.words() == "2026-03-29 01:30:05 to 2026-03-29 03:30:00 UTC"
    assert asked_period({}, NOW) == asked_period({"period": "24h"}, NOW)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"period": "3h"}, "choose one of 1h, 6h"),
        ({"period": "custom"}, "fill in From"),
        ({"from": "yesterday"}, "From is no moment"),
        ({"from": "2026-02-30T00:00"}, "does not exist"),
        ({"from": "1960-01-01T00:00"}, "between the years"),
        ({"from": "2026-01-02T00:00", "to": "2026-01-02T00:00"}, "not before To"),
        ({"from": "2026-01-02T00:00", "to": "2025-01-02T00:00"}, "exchange them"),
        ({"from": "2000-01-02T00:00", "to": "2025-01-02T00:00"}, "five years"),
        ({"from": "2026-01-02T00:00", "to": "٢٠٢٦-01-02T00:00"}, "To is a day or a time that does not exist"),
    ],
)
def test_a_period_that_cannot_be_asked_for_says_what_would_do(asked: dict[str, str], said: str) -> None:
    with pytest.raises(PeriodError, match=said):
        asked_period(asked, NOW)


def test_a_question_becomes_a_query_and_an_address_again() -> None:
    asked = {"period": "6h", "worker": "a&b=ü/#", "pool": "normal", "min": "1.5M", "verdict": "rejected", "x": "y"}
    form = asked_form(asked, NOW)
    assert form.query == ShareQuery(NOW - 21_600, NOW, "a&b=ü/#", "normal", "rejected", 1.5e6)
    assert asked_form(dict(parse_qsl(form.link())), NOW) == form
    later = asked_form(dict(parse_qsl(form.fixed())), NOW + 999)
    assert later.query == form.query
    without = asked_form(dict(parse_qsl(form.link(worker=""))), NOW)
    assert without.query == ShareQuery(NOW - 21_600, NOW, None, "normal", "rejected", 1.5e6)
    assert asked_form(dict(parse_qsl(later.in_period("7d"))), NOW).period == Period("7d", NOW - 604_800, NOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0.0), ("65536", 65536.0), ("65,536", 65536.0), ("2e9", 2e9), ("512k", 512e3), ("512 K", 512e3), ("0.5", 0.5)],
)
def test_least_difficulties(text: str, value: float) -> None:
    query = asked_form({"min": text}, NOW).query
    assert query is not None
    assert query.min_difficulty == value


def test_the_form_shows_moments_however_they_were_written() -> None:
    form = asked_form({"from": "1789000000"}, NOW + 60)
    assert form.fields == {"period": "custom", "from": "2026-09-10T00:26:40"}
    assert asked_form({"from": "2026-09-10T00:26", "to": "1789000000"}, NOW).fields["to"] == "2026-09-10T00:26:40"


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e999", "many", "1.2.3", "1MM", "0x10"])
def test_what_is_no_difficulty(text: str) -> None:
    form = asked_form({"min": text}, NOW)
    assert form.query is None
    assert "is a number" in form.mistake
    assert form.fields["min"] == text


def test_other_mistakes() -> None:
    assert "accepted or rejected" in asked_form({"verdict": "maybe"}, NOW).mistake
    assert "more than 1000" in asked_form({"worker": "w" * 1001}, NOW).mistake


def test_no_address_breaks_the_form() -> None:
    chance = random.Random(3)
    odd = ["custom", "24h", "1e400", "99999-01-01T00:00", "0000-00-00T00:00", "2026-01-01T00:00", "accepted", "7"]
    for _ in range(500):
        names = chance.sample(["period", "from", "to", "worker", "pool", "min", "verdict"], chance.randrange(8))
        form = asked_form({name: chance.choice([*odd, any_text(chance)]) for name in names}, NOW)
        assert (form.query is None) == bool(form.mistake)


def test_places_in_a_table() -> None:
    cursor = ShareCursor(1_789_000_000_123, "00000000-0000-0000-0000-00000000004d", 2**64 - 1)
    assert asked_cursor(cursor_text(cursor)) == cursor
    assert asked_cursor("") is None
    for wrong in ("x", "1-2", "1-00000000-0000-0000-0000-00000000004d", f"x{cursor_text(cursor)}", "-" * 50):
        with pytest.raises(FormError):
            asked_cursor(wrong)


def test_any_name_has_one_path() -> None:
    chance = random.Random(4)
    odd = ["", ".", "..", "...", "/", "a/b", "%2F", "%", "?x=1", "#", "\0", "\n", "a b", "+", "ü", "\U0001f40d", "\\"]
    for name in (*odd, *(any_text(chance) for _ in range(500))):
        path = worker_path(name)
        assert path.isascii()
        if name in ("", ".", ".."):
            assert path == "workers?name=" + quote(name)
        else:
            assert "/" not in path.removeprefix("workers/")
            assert name_in_path(b"/" + path.encode() + b"?period=1h", b"/workers/") == name


def any_text(chance: random.Random) -> str:
    points = [chance.choice([chance.randrange(128), chance.randrange(0x250), chance.randrange(0xE000, 0x110000)])
              for _ in range(chance.randrange(20))]  # fmt: skip
    return "".join(map(chr, points))
