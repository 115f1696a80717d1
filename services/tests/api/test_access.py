"""Who gets in, and the one form that every error has."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from services.tests.api.conftest import ADMIN, JWT_SECRET, READ, api

if TYPE_CHECKING:
    import httpx

    from services.warehouse.address import ClickHouseAddress

STATS = ("/api/pool/stats", "/api/workers/stats")


def signed(scope: str, seconds: float = 60) -> dict[str, str]:
    claims = {"sub": "Validator A", "scope": scope, "exp": time.time() + seconds, "jti": "1"}
    return {"Authorization": f"Bearer {jwt.encode(claims, JWT_SECRET, 'HS256')}"}


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    body = answer.json()
    assert answer.status_code == status
    assert body.keys() == {"error", "detail"}
    assert body["error"].keys() == {"code", "message", "timestamp", "request_id"}
    assert body["error"]["code"] == code
    assert body["error"]["request_id"] == answer.headers["X-Request-ID"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["error"]["timestamp"])
    age = datetime.now().astimezone() - datetime.fromisoformat(body["error"]["timestamp"])
    assert abs(age) < timedelta(seconds=10)
    if status != 422:
        assert body["detail"] == body["error"]["message"]


@pytest.mark.parametrize("path", STATS)
async def test_only_valid_tokens_with_the_scope_get_in(store: ClickHouseAddress, path: str) -> None:
    async with api(store) as client:
        for good in (READ, {"Authorization": "bearer second-token"}, signed("read"), signed("admin read")):
            assert (await client.get(path, headers=good)).status_code == 200
        for headers in ({}, {"Authorization": "reader-token"}, {"Authorization": "Basic cmVhZGVyLXRva2Vu"}):
            answer = await client.get(path, headers=headers)
            assert_error(answer, 401, "MISSING_TOKEN")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        wrong: list[dict[Any, Any]] = [
            {"Authorization": "Bearer reader-toke"},
            {"Authorization": "Bearer reader-token,second-token"},
            {b"Authorization": b"Bearer \xff\xfe"},
            {"Authorization": "Bearer " + "x" * 10_000},
            signed("read", seconds=-1),
        ]
        for headers in wrong:
            assert_error(await client.get(path, headers=headers), 401, "INVALID_TOKEN")
        for headers in (ADMIN, signed("admin"), signed("")):
            assert_error(await client.get(path, headers=headers), 403, "INSUFFICIENT_SCOPE")
        assert_error(await client.get(path, params={"token": "reader-token"}), 401, "MISSING_TOKEN")


async def test_every_error_has_the_one_form(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        assert_error(await client.get("/api/nosuch", headers=READ), 404, "NOT_FOUND")
        assert_error(await client.get("/static/../options.py"), 404, "NOT_FOUND")
        assert_error(await client.get("/static/nosuch.js"), 404, "NOT_FOUND")
        refused = await client.post("/api/pool/stats", headers=READ)
        assert_error(refused, 405, "METHOD_NOT_ALLOWED")
        assert refused.headers["Allow"] == "GET"
        long = await client.get("/api/workers/stats", params={"worker": "x" * 257, "pool": "y" * 257}, headers=READ)
        assert_error(long, 422, "INVALID_PARAMETER")
        assert [fault["loc"] for fault in long.json()["detail"]] == [["query", "worker"], ["query", "pool"]]
        assert all(fault.keys() == {"loc", "msg", "type"} for fault in long.json()["detail"])
        assert "xxx" not in long.text


async def test_a_parameter_is_named_once_and_as_it_is_called(store: ClickHouseAddress) -> None:
    period: dict[str, Any] = {"start_time": 1, "end_time": 9}
    faults: list[dict[str, Any]] = [{"limit": 0}, {"limit": "1.0"}, {"start_time": "1_0"}, {"end_time": " 9"}]
    async with api(store) as client:
        for wrong in faults:
            answer = await client.get("/api/shares/raw", params=period | wrong, headers=READ)
            (name,) = wrong
            assert_error(answer, 422, "INVALID_PARAMETER")
            assert answer.json()["error"]["message"] == f"These parameters were refused: {name}"
            assert [fault["loc"] for fault in answer.json()["detail"]] == [["query", name]]


async def test_what_probes_and_typists_ask(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        for path in ("/health", "/docs", "/redoc", "/openapi.json", "/static/docs.js"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        # No redirect: behind a TLS proxy it would lead to a plain address, with the token.
        for path in ("/api/pool/stats/", "/health/", "/api/workers/share-value/2026-11-20/"):
            assert_error(await client.get(path, headers=READ), 404, "NOT_FOUND")


async def test_each_request_has_its_own_id(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        paths = ["/health", *STATS, "/openapi.json", "/docs", "/nosuch"] * 3
        answers = await asyncio.gather(*(client.get(path, headers={"X-Request-ID": "mine"}) for path in paths))
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == len(paths)
    assert "mine" not in ids


async def test_answers_carry_the_security_headers(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        for path in ("/health", "/api/pool/stats", "/nosuch", "/docs"):
            headers = (await client.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
            assert "server" not in headers


async def test_no_token_reaches_the_log(store: ClickHouseAddress, capfd: pytest.CaptureFixture[str]) -> None:
    token = signed("read")["Authorization"].removeprefix("Bearer ")
    async with api(store) as client:
        for tried in ("reader-token", "admin-token", "a-wrong-token", token):
            await client.get("/api/pool/stats", params={"k": tried}, headers={"Authorization": f"Bearer {tried}"})
    out, err = capfd.readouterr()
    assert "read-1" in out + err
    assert "Validator A" in out + err
    assert not any(
        secret in out + err for secret in ("reader-token", "admin-token", "a-wrong-token", token, JWT_SECRET)
    )
