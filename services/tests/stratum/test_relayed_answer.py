from __future__ import annotations

import json
from typing import Any

import pytest

from services.stratum.message import relayed, request
from services.stratum.pool_session import PoolSession, SubmitAnswered


@pytest.mark.parametrize(
    "answer",
    [
        {"result": True, "error": None},
        {"result": None, "error": [21, "Job not found", None]},
        {"result": False, "error": None, "reject-reason": "Above target"},
        {"result": None, "error": {"code": 23, "message": "low"}},
        {"result": None, "error": ["22", "twice", {"deep": 1}]},
    ],
)
def test_a_pools_answer_goes_on_unchanged_under_another_id(answer: dict[str, Any]) -> None:
    session = PoolSession("test")
    number = session.submit("user", "job", b"\0" * 4, 1, 2, None)

    (event,) = session.receive(json.dumps({"id": number, **answer}).encode() + b"\n")

    assert isinstance(event, SubmitAnswered)
    assert event.answer is not None
    assert json.loads(relayed("the miner's own", event.answer)) == {"id": "the miner's own", **answer}


def test_a_request_is_one_line() -> None:
    assert request(1, "mining.subscribe", []).count(b"\n") == 1
