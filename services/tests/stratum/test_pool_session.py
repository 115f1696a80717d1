from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum.framing import LineTooLongError
from services.stratum.job import Job
from services.stratum.pool_session import (
    MAX_LINE_BYTES,
    Authorized,
    Configured,
    DifficultySet,
    ExtranonceSet,
    JobReceived,
    MessageShown,
    PoolSession,
    ReconnectAsked,
    SubmitAnswered,
    Subscribed,
    SubscribeRefused,
    Unreadable,
    VersionMaskSet,
)
from services.tests.stratum.test_message import json_values

JOB = Job("a1", bytes(range(32)), b"one", b"two", (), 0x20000000, 0x1D00FFFF, 1000, True)


def sent(session: PoolSession) -> list[dict[str, Any]]:
    return [json.loads(line) for line in session.outgoing().splitlines()]


def told(session: PoolSession, *messages: dict[str, Any]) -> list[Any]:
    return list(session.receive(b"".join(json.dumps(message).encode() + b"\n" for message in messages)))


def test_a_whole_handshake() -> None:
    session = PoolSession("sharehouse/1")
    session.configure(0x1FFFE000)
    session.subscribe()
    configure, subscribe = sent(session)
    assert configure["params"] == [
        ["version-rolling"],
        {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2},
    ]
    assert subscribe["params"] == ["sharehouse/1"]
    session.authorize("wallet.rig", "x")
    session.subscribe_extranonce()
    authorize, extranonce = sent(session)
    subscribed = [[["mining.set_difficulty", "1"], ["mining.notify", "1"]], "0a0b0c0d", 8]
    assert told(
        session,
        {"id": configure["id"], "result": {"version-rolling": True, "version-rolling.mask": "1fff0000"}, "error": None},
        {"id": subscribe["id"], "result": subscribed, "error": None},
        {"id": None, "method": "mining.set_difficulty", "params": [0.5]},
        {"id": None, "method": "mining.notify", "params": JOB.notify_params()},
        {"id": str(authorize["id"]), "result": True, "error": None},
        {"id": extranonce["id"], "result": None, "error": [20, "Not supported.", None]},
    ) == [
        Configured(0x1FFF0000),
        Subscribed(bytes.fromhex("0a0b0c0d"), 8),
        DifficultySet(0.5),
        JobReceived(JOB),
        Authorized("wallet.rig", None),
    ]
    assert session.unanswered == 0


@given(st.integers(0, 3), st.booleans())
def test_a_line_that_other_connections_had_means_the_same_and_is_one_object(siblings: int, is_odd: bool) -> None:
    job = Job("a1", bytes(32), bytes(150), b"two", (bytes(32),) * siblings, 1, 2, 3, is_odd)
    notify = {"id": None, "method": "mining.notify", "params": job.notify_params(), "padding": "x" * 300}
    line = json.dumps(notify).encode() + b"\n"
    (first,) = PoolSession("x").receive(line)
    (second,) = PoolSession("y").receive(line)
    assert first == second == JobReceived(job)
    assert first is second


def test_a_long_line_that_only_speaks_of_notify_is_what_it_is() -> None:
    session = PoolSession("x")
    session.subscribe()
    padding = "x" * 300
    assert told(
        session,
        {"id": None, "method": "client.show_message", "params": ["mining.notify " + padding]},
        {"id": None, "method": "mining.notify", "params": [padding]},
        {"id": 1, "result": [[["mining.notify", padding]], "0a", 4], "error": None},
    ) == [
        MessageShown("mining.notify " + padding),
        Unreadable("notify without its nine parameters"),
        Subscribed(b"\x0a", 4),
    ]


def test_verdicts_come_by_number_and_late_ones_are_dropped() -> None:
    session = PoolSession("x")
    first = session.submit("w", "a1", b"\x01\x02", 0x10, 0x20, None)
    second = session.submit("w", "a1", b"\x01\x02", 0x10, 0x21, 0x2000)
    third = session.submit("w", "a1", b"\x01\x02", 0x10, 0x22, None)
    one, two, _ = sent(session)
    assert one["params"] == ["w", "a1", "0102", "00000010", "00000020"]
    assert two["params"][5] == "00002000"
    session.forget(third)
    assert told(
        session,
        {"id": second, "result": None, "error": [23, "Low", None]},
        {"id": third, "result": True, "error": None},
        {"id": first, "result": True, "error": None},
        {"id": first, "result": True, "error": None},
        {"id": 999, "result": True, "error": None},
        {"id": None, "result": None, "error": [20, "general", None]},
    ) == [SubmitAnswered(second, (23, "Low")), SubmitAnswered(first, None)]


def test_only_true_is_an_acceptance() -> None:
    session = PoolSession("x")
    number = session.submit("w", "a1", b"", 0, 0, None)
    assert told(session, {"id": number, "result": None, "error": None}) == [SubmitAnswered(number, (20, "Rejected"))]


def test_a_refused_user_agent_is_tried_without() -> None:
    session = PoolSession("x")
    session.subscribe()
    (first,) = sent(session)
    refusal = {"result": None, "error": [20, "no", None]}
    assert told(session, {"id": first["id"], **refusal}) == []
    (second,) = sent(session)
    assert second["params"] == []
    assert told(session, {"id": second["id"], **refusal}) == [SubscribeRefused(20, "no")]


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        ["a", "b"],
        [[], "zz", 4],
        [[], "00" * 33, 4],
        [[], "00", 0],
        [[], "00", 17],
        [[], "00", "4"],
        [[], 5, 4],
    ],
)
def test_an_unusable_answer_to_subscribe(result: Any) -> None:
    session = PoolSession("x")
    session.subscribe()
    (first,) = sent(session)
    (event,) = told(session, {"id": first["id"], "result": result, "error": None})
    assert isinstance(event, SubscribeRefused)


def test_what_pools_say_unasked() -> None:
    session = PoolSession("agent")
    assert told(
        session,
        {"id": 7, "method": "client.get_version", "params": []},
        {"id": 8, "method": "mining.ping", "params": []},
        {"id": 9, "method": "mining.unheard_of", "params": []},
        {"id": None, "method": "mining.unheard_of", "params": []},
        {"id": None, "method": "client.show_message", "params": ["hello"]},
        {"id": None, "method": "client.reconnect", "params": []},
        {"id": None, "method": "client.reconnect", "params": ["other", "3334", 5]},
        {"id": None, "method": "client.reconnect", "params": ["other", 1e9, -5]},
        {"id": None, "method": "mining.set_extranonce", "params": ["ff", 4]},
        {"id": None, "method": "mining.set_version_mask", "params": ["00ffe000"]},
    ) == [
        MessageShown("hello"),
        ReconnectAsked("", 0, 0.0),
        ReconnectAsked("other", 3334, 5.0),
        ReconnectAsked("other", 0, 0.0),
        ExtranonceSet(b"\xff", 4),
        VersionMaskSet(0x00FFE000),
    ]
    assert [(answer["id"], answer["result"]) for answer in sent(session)] == [(7, "agent"), (8, "pong"), (9, None)]


@pytest.mark.parametrize("value", [0, -1, None, "x", True, 1e300, 1e-30, [], 10**400])
def test_impossible_difficulties_are_unreadable(value: Any) -> None:
    (event,) = told(PoolSession("x"), {"id": None, "method": "mining.set_difficulty", "params": [value]})
    assert isinstance(event, Unreadable)


@given(st.binary(max_size=500), st.integers(0, 500))
def test_any_bytes_from_a_pool(data: bytes, cut: int) -> None:
    session = PoolSession("x")
    session.subscribe()
    list(session.receive(data[:cut]))
    list(session.receive(data[cut:]))


methods = st.sampled_from(
    ["mining.notify", "mining.set_difficulty", "mining.set_extranonce", "mining.set_version_mask", "client.reconnect",
     "client.show_message", "client.get_version", "mining.ping", "what"]
)  # fmt: skip


@given(methods, json_values, json_values)
def test_any_notification_from_a_pool(method: str, request_id: Any, params: Any) -> None:
    told(PoolSession("x"), {"id": request_id, "method": method, "params": params})


@given(st.integers(1, 5), json_values, json_values)
def test_any_answer_from_a_pool(request_id: int, result: Any, error: Any) -> None:
    session = PoolSession("x")
    session.configure(0x1FFFE000)
    session.subscribe()
    session.authorize("w", "x")
    session.submit("w", "1", b"", 0, 0, None)
    told(session, {"id": request_id, "result": result, "error": error})


lines = st.one_of(
    st.binary(max_size=80).map(lambda data: data.replace(b"\n", b"")),
    st.builds(
        lambda method, params: json.dumps({"id": None, "method": method, "params": params}).encode(),
        methods,
        json_values,
    ),
    st.builds(
        lambda number, result, error: json.dumps({"id": number, "result": result, "error": error}).encode(),
        st.integers(0, 8),
        json_values | st.just(True),
        json_values | st.none(),
    ),
    # Of ten long ones some are remembered and some not any more.
    st.sampled_from([JOB, *(replace(JOB, coinbase1=bytes(150 + size)) for size in range(10))]).map(
        lambda job: json.dumps({"id": None, "method": "mining.notify", "params": job.notify_params()}).encode()
    ),
)


def speaking() -> PoolSession:
    session = PoolSession("x")
    session.configure(0x1FFFE000)
    session.subscribe()
    session.authorize("w", "x")
    for _ in range(3):
        session.submit("w", "1", b"", 0, 0, None)
    return session


@given(
    st.lists(lines, max_size=20),
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    st.lists(st.integers(1, 64) | st.integers(400, 1200), min_size=1, max_size=20),
)
def test_any_bytes_split_anywhere_mean_the_same(parts: list[bytes], end: bytes, sizes: list[int]) -> None:
    stream = b"".join(part + end for part in parts)
    whole, split = speaking(), speaking()
    expected = list(whole.receive(stream))
    events: list[Any] = []
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(stream):
            break
        events += split.receive(stream[position : position + size])
        position += size

    assert events == expected
    assert split.outgoing() == whole.outgoing()


def test_a_pool_that_answers_nothing_costs_nothing_but_what_waits_for_a_verdict() -> None:
    session = PoolSession("x")
    for number in range(1000):
        session.suggest_difficulty(number + 1)
        session.subscribe_extranonce()
        session.forget(session.submit("w", "1", b"", 0, 0, None))
        session.outgoing()
    assert session.unanswered == 0


def test_a_pool_that_never_ends_its_line() -> None:
    session = PoolSession("x")
    with pytest.raises(LineTooLongError):
        for _ in range(6):
            list(session.receive(b"x" * (MAX_LINE_BYTES // 4)))


@pytest.mark.parametrize(
    ("subscriptions", "session_id"),
    [
        ([["mining.set_difficulty", "a1"], ["mining.notify", "a2"]], "a2"),
        ([["mining.notify", "a2"]], "a2"),
        (["mining.notify", "a2"], "a2"),
        ([["mining.notify", 5]], ""),
        ([["mining.set_difficulty", "a1"], "x", []], ""),
        (None, ""),
    ],
)
def test_a_session_to_resume(subscriptions: Any, session_id: str) -> None:
    session = PoolSession("x")
    session.subscribe("earlier")
    (first,) = sent(session)
    assert first["params"] == ["x", "earlier"]
    (event,) = told(session, {"id": first["id"], "result": [subscriptions, "0a0b", 8], "error": None})
    assert isinstance(event, Subscribed)
    assert event.session == session_id
