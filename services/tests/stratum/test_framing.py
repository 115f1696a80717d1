from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.framing import LineBuffer, LineTooLongError


def _feed_in_pieces(buffer: LineBuffer, stream: bytes, cuts: list[int]) -> list[bytes]:
    lines: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        lines.extend(buffer.feed(stream[start:end]))
    return lines


@given(st.binary(max_size=300), st.data())
def test_any_split_gives_the_same_lines(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    expected = [line.strip() for line in stream.split(b"\n")[:-1] if line.strip()]
    assert _feed_in_pieces(LineBuffer(1000), stream, cuts) == expected


def test_lines_before_a_long_one_are_still_handed_out() -> None:
    buffer = LineBuffer(10)
    lines = iter(buffer.feed(b"one\ntwo\r\n\n" + b"x" * 11 + b"\nthree\n"))
    assert [next(lines), next(lines)] == [b"one", b"two"]
    with pytest.raises(LineTooLongError, match="longer than 10 bytes"):
        next(lines)


def test_an_endless_line_is_refused_before_it_ends() -> None:
    buffer = LineBuffer(1000)
    with pytest.raises(LineTooLongError):
        for _ in range(200):
            list(buffer.feed(b"x" * 10))


def test_a_consumer_that_stops_early_loses_nothing() -> None:
    buffer = LineBuffer(100)
    first = iter(buffer.feed(b"one\ntwo\n"))
    assert next(first) == b"one"
    first.close()  # type: ignore[attr-defined]
    assert list(buffer.feed(b"three\n")) == [b"two", b"three"]
