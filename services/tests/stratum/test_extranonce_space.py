from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.stratum.extranonce import ExtranonceLayout, handed_through
from services.stratum.extranonce_space import ExtranonceSpace, SoleSpace, shared_extranonce1_size, shared_room

POOL = b"\xaa\xbb\xcc\xdd"


def shared_space(size: int, numbers: int = 0) -> ExtranonceSpace:
    return ExtranonceSpace((POOL, size), 0x010203, count(numbers), shared_extranonce1_size(size))


def test_ten_thousand_miners_have_a_place_each_and_share_what_is_the_same() -> None:
    space = shared_space(8, numbers=60_000)
    layouts = [space.place() for _ in range(10_000)]

    assert len({layout.extranonce2_prefix for layout in layouts if layout}) == 10_000
    assert len({id(layout.coinbase1_tail) for layout in layouts if layout}) == 1
    assert {(len(layout.miner_extranonce1), layout.miner_extranonce2_size) for layout in layouts if layout} == {(2, 4)}


@pytest.mark.parametrize(("size", "room"), [(16, 32768), (8, 32768), (6, 32768), (5, 256), (4, 1), (3, 1), (1, 1)])
def test_the_room_is_what_leaves_each_miner_four_bytes(size: int, room: int) -> None:
    assert shared_room(size) == room
    space = shared_space(size)
    layouts = [space.place() for _ in range(min(room, 256))]
    assert None not in layouts
    if room <= 256:
        assert space.place() is None
        left = layouts[7 % room]
        assert left is not None
        space.leave(left)
        assert space.place() == left


def test_a_pool_with_too_little_is_handed_through_to_one() -> None:
    space = shared_space(4)
    assert space.place() == handed_through(POOL, 4)
    assert space.place() is None


def test_a_dedicated_miner_on_a_pool_with_five_bytes_gets_all_of_them() -> None:
    assert SoleSpace((POOL, 5), 1, count()).place() == handed_through(POOL, 5)


def test_a_dedicated_miner_has_the_same_shape_as_a_shared_one_and_keeps_it() -> None:
    layout = SoleSpace((POOL, 8), 0x010203, count(5)).place()
    assert layout == shared_space(8, numbers=5).place()
    assert layout is not None
    moved = SoleSpace((b"\x01", 7), 9, count()).keep(layout)
    assert moved is not None
    assert (moved.miner_extranonce1, moved.coinbase1_tail) == (layout.miner_extranonce1, b"\x01\x09")
    assert SoleSpace((b"\x01", 5), 9, count()).keep(layout) is None


def test_whoever_moves_keeps_what_it_was_shown() -> None:
    before, after = shared_space(8), ExtranonceSpace((b"\x01", 7), 9, count(), 2)
    shown = [before.place() for _ in range(100)]
    for layout in shown:
        assert layout is not None
        moved = after.keep(layout)
        assert moved is not None
        assert moved.miner_extranonce1 == layout.miner_extranonce1
        assert moved.coinbase1_tail == b"\x01\x09"
        assert after.keep(layout) is None  # it is taken


_shapes = st.tuples(st.binary(max_size=6), st.integers(1, 8))


@settings(deadline=None)
@given(
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.lists(st.one_of(st.just("place"), st.just("leave"), _shapes), max_size=60),
)
def test_no_two_miners_can_ever_make_the_same_coinbase(
    size: int, start: int, steps: list[str | tuple[bytes, int]]
) -> None:
    space = shared_space(size, start)
    held: list[ExtranonceLayout] = []
    for step in steps:
        layout = None
        if step == "leave":
            if held:
                space.leave(held.pop(0))
        elif step == "place":
            layout = space.place()
        elif isinstance(step, tuple):
            layout = space.keep(handed_through(*step))
        if layout is not None:
            assert len(layout.extranonce2_prefix) + layout.miner_extranonce2_size == size
            held.append(layout)
        prefixes = sorted(one.extranonce2_prefix for one in held)
        assert not any(later.startswith(earlier) for earlier, later in zip(prefixes, prefixes[1:], strict=False))
