"""The sans-I/O session: any bytes, split anywhere."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.miner_session import (
    Alive,
    AuthorizeAsked,
    ConfigureAsked,
    DifficultySuggested,
    Event,
    Junk,
    MalformedSubmit,
    MinerSession,
    SubmitAsked,
    SubscribeAsked,
)
from services.stratum.framing import LineTooLongError
from services.stratum.message import Response
from services.stratum.reject import STALE

METHODS = [
    "mining.subscribe",
    "mining.authorize",
    "mining.configure",
    "mining.submit",
    "mining.suggest_difficulty",
    "mining.suggest_difficulty(5",
    "mining.suggest_target",
    "mining.extranonce.subscribe",
    "mining.multi_version",
    "mining.ping",
    "mining.get_transactions",
    "no.such.method",
]
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
requests = st.fixed_dictionaries({"id": any_json, "method": st.sampled_from(METHODS), "params": any_json})
lines = st.one_of(
    st.binary(max_size=80),
    requests.map(lambda request: json.dumps(request).encode()),
    any_json.map(lambda value: json.dumps(value).encode()),
)


def receive(session: MinerSession, data: bytes) -> list[Event]:
    return list(session.receive(data))


def answers(session: MinerSession) -> list[Any]:
    return [json.loads(line) for line in session.outgoing().splitlines()]


@given(st.lists(lines, max_size=20), st.lists(st.integers(1, 64), min_size=1, max_size=20))
def test_any_bytes_split_anywhere_give_the_same_events_and_answers(parts: list[bytes], sizes: list[int]) -> None:
    stream = b"\n".join(parts) + b"\n"
    whole, split = MinerSession(1 << 14), MinerSession(1 << 14)
    expected = receive(whole, stream)
    events: list[Event] = []
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(stream):
            break
        events += receive(split, stream[position : position + size])
        position += size

    assert [type(event) for event in events] == [type(event) for event in expected]
    assert answers(split) == answers(whole)


@given(st.lists(requests, max_size=10))
def test_every_request_is_answered_under_its_own_id(asked: list[dict[str, Any]]) -> None:
    session = MinerSession(1 << 14)
    events = [event for request in asked for event in receive(session, json.dumps(request).encode() + b"\n")]
    for event in events:
        if isinstance(event, SubscribeAsked | AuthorizeAsked | ConfigureAsked | SubmitAsked | MalformedSubmit):
            session.refuse(event.reply, STALE)
    replies = answers(session)
    unanswerable = sum(isinstance(event, Junk) for event in events)

    assert len(replies) == len(asked)
    assert session.unanswered == 0
    if not unanswerable:
        assert sorted(json.dumps(reply["id"]) for reply in replies) == sorted(
            json.dumps(request["id"]) for request in asked
        )


@given(st.binary(min_size=300, max_size=2000).filter(lambda data: b"\n" not in data))
def test_a_line_that_never_ends_is_refused_in_bounded_memory(data: bytes) -> None:
    session = MinerSession(256)
    try:
        receive(session, data)
    except LineTooLongError:
        return
    raise AssertionError("a line of any length was taken")


def test_hostile_ids_do_no_harm() -> None:
    session = MinerSession(1 << 16)
    nested = "[" * 900 + "]" * 900
    for request_id in (nested, "1" * 5000, "1e999", "-" + "9" * 400, '"\\ud800"'):
        receive(session, f'{{"id":{request_id},"method":"mining.ping","params":[]}}\n'.encode())
    assert len(answers(session)) == 5


def test_numbers_in_set_difficulty_have_no_needless_fraction() -> None:
    session = MinerSession(1 << 14)
    difficulties = [1024.0, 0.5, 931.1, 2.0**-24, 2.0**60]
    for difficulty in difficulties:
        session.set_difficulty(difficulty)
    lines = session.outgoing().splitlines()

    assert b"[1024]" in lines[0]
    assert [json.loads(line)["params"] for line in lines] == [[difficulty] for difficulty in difficulties]


def test_an_accepted_verdict_is_relayed_as_it_came() -> None:
    session = MinerSession(1 << 14)
    (event,) = receive(session, b'{"id":"x","method":"mining.submit","params":["w","j","00","00000000","00000000"]}\n')
    assert isinstance(event, SubmitAsked)
    session.relay(event.reply, Response(9, True, None))
    session.relay(event.reply, Response(9, True, None))

    assert session.outgoing() == b'{"id":"x","result":true,"error":null}\n'


def test_a_malformed_submit_names_what_can_be_read() -> None:
    session = MinerSession(1 << 14)
    (event,) = receive(session, b'{"id":1,"method":"mining.submit","params":["w","j","zz"]}\n')
    assert isinstance(event, MalformedSubmit)
    assert (event.worker, event.job_id) == ("w", "j")


def test_a_number_in_the_methods_name_is_a_suggestion() -> None:
    session = MinerSession(1 << 14)
    assert receive(session, b'{"id":1,"method":"mining.suggest_difficulty(123","params":[]}\n') == [
        DifficultySuggested(123.0)
    ]
    assert receive(session, b'{"id":1,"method":"mining.suggest_difficulty","params":["x"]}\n') == [Alive()]
