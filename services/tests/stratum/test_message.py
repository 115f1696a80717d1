from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stratum import message
from services.stratum.reject import REJECTS, STALE, ProtocolError, StratumError, pool_reason

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_protocol_errors(line: bytes) -> None:
    try:
        message.decode(line)
    except ProtocolError:
        pass


@given(json_values)
def test_any_json_raises_nothing_but_protocol_errors(value: Any) -> None:
    try:
        decoded = message.decode(json.dumps(value).encode())
    except ProtocolError:
        return
    if isinstance(decoded, message.Response):
        message.error_of(decoded)


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"id":' * 50_000, b'{"id":1,"method":"m","params":[NaN]}', b"\xff{}"]
)
def test_hostile_json_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        message.decode(line)


@pytest.mark.parametrize("decoder", [message._decode_json, message._decode_with_json], ids=["fast", "standard"])
def test_both_decoders_agree(decoder: Any) -> None:
    assert decoder(b'{"id":"a","method":"m","params":[1.5,null,"\\u00e9"]}') == {
        "id": "a",
        "method": "m",
        "params": [1.5, None, "é"],
    }
    with pytest.raises((ValueError, RecursionError)):
        decoder(b"[" * 100_000)


@given(st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_ids_are_echoed_as_they_came(request_id: Any) -> None:
    asked = message.decode(message.request(request_id, "mining.submit", []))
    assert isinstance(asked, message.Request)
    answered = message.decode(message.answer(asked.id, True))
    assert isinstance(answered, message.Response)
    assert answered.id == request_id


@pytest.mark.parametrize("request_id", ["\ud800", 2**70, -(2**70), 0.5, {"a": [None]}])
def test_odd_ids_are_echoed_too(request_id: Any) -> None:
    assert json.loads(message.answer(request_id, True))["id"] == request_id


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"id":1,"result":true,"error":null}', None),
        ('{"id":1,"result":true}', None),
        ('{"id":1,"result":null,"error":[21,"Job not found",null]}', (21, "Job not found")),
        ('{"id":1,"result":null,"error":["22","Duplicate"]}', (22, "Duplicate")),
        ('{"id":1,"result":null,"error":{"code":23,"message":"low"}}', (23, "low")),
        ('{"id":1,"result":null,"error":"Stale share"}', (21, "Stale share")),
        ('{"id":1,"result":false,"error":null}', (20, "Rejected")),
        ('{"id":1,"result":false,"error":null,"reject-reason":"Above target"}', (23, "Above target")),
        ('{"id":1,"result":null,"error":[null]}', (20, "Rejected")),
        ('{"id":1,"result":null,"error":[1e99,"what"]}', (20, "what")),
        ('{"id":1,"result":null,"error":[]}', (20, "[]")),
        ('{"id":1,"result":false,"error":{}}', (20, "Rejected")),
        ('{"id":1,"result":null,"error":""}', (20, "")),
        ('{"id":1,"result":true,"error":[]}', None),
        ('{"id":1,"result":true,"error":{}}', None),
        ('{"id":1,"result":true,"error":""}', None),
        ('{"id":1,"result":true,"error":[],"reject-reason":"Above target"}', (23, "Above target")),
    ],
)
def test_errors_in_every_shape_seen_in_the_field(answer: str, expected: tuple[int, str] | None) -> None:
    response = message.decode(answer.encode())
    assert isinstance(response, message.Response)
    assert message.error_of(response) == expected


def test_one_table_of_refusals() -> None:
    assert len({reject.reason for reject in REJECTS}) == len(REJECTS)
    assert {reject.code for reject in REJECTS} == {20, 21, 22, 23, 24, 25}
    assert message.refusal_for("x", STALE) == b'{"id":"x","result":null,"error":[21,"Stale job",null]}\n'
    detailed = StratumError(STALE, "a new block came")
    assert (detailed.code, detailed.reason, detailed.message) == (21, "stale", "Stale job: a new block came")
    assert [pool_reason(code) for code in (20, 21, 22, 23, 24, 25, -6)] == [
        "pool_other",
        "pool_stale",
        "pool_duplicate",
        "pool_low_difficulty",
        "pool_unauthorized",
        "pool_not_subscribed",
        "pool_other",
    ]
