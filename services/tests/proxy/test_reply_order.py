from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.reply_order import ReplyOrder


@given(st.lists(st.sampled_from("abc"), max_size=30), st.randoms())
def test_answers_of_one_key_leave_in_the_order_of_asking(keys: list[str], random: object) -> None:
    order = ReplyOrder()
    replies = [order.open(key, str(number)) for number, key in enumerate(keys)]
    shuffled = list(replies)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    left = b"".join(order.settle(reply, f"{reply.key}{reply.id_text} ".encode()) for reply in shuffled).split()

    assert order.count == 0
    for key in "abc":
        mine = [text for text in left if text.startswith(key.encode())]
        assert mine == [f"{reply.key}{reply.id_text}".encode() for reply in replies if reply.key == key]
