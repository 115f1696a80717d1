from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.moments import Moments, Span, merged, within

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda one: (one[0], one[0] + one[1])))


def holds(condition: str, moments: Moments, second: int) -> bool:
    """What SQL makes of it; Python's `and` binds before `or`, too."""
    text = re.sub(r"\{(m\d+):Int64\}", lambda found: str(moments.bound[found[1]]), condition)
    return bool(eval(text.replace(" AND ", " and ").replace(" OR ", " or "), {"s": second}))


@given(spans)
def test_merged_is_the_same_time_in_the_fewest_stretches(given_ones: list[Span]) -> None:
    found = merged(given_ones)
    assert all(start < end for start, end in found)
    assert all(before[1] < after[0] for before, after in zip(found, found[1:], strict=False))
    for second in range(60):
        assert any(a <= second < b for a, b in found) == any(a <= second < b for a, b in given_ones)


@given(spans, spans)
def test_what_is_known_already_is_not_asked_again(own: list[Span], others: list[Span]) -> None:
    known, moments = merged(own + others), Moments()
    alone = within("s", merged(own), (), moments.parameter)
    among = within("s", merged(own), known, moments.parameter)
    assert len(among) <= len(alone)
    for second in range(60):
        assert holds(alone, moments, second) == any(a <= second < b for a, b in own)
        if any(a <= second < b for a, b in known):
            assert holds(among, moments, second) == holds(alone, moments, second)


def test_a_moment_is_bound_once() -> None:
    moments = Moments()
    assert [moments.parameter(second) for second in (7, 9, 7)] == ["{m0:Int64}", "{m1:Int64}", "{m0:Int64}"]
    assert moments.bound == {"m0": 7, "m1": 9}
