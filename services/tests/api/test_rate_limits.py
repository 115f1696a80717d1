"""How often one may ask, and that nobody asks more often by pretending to be another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from services.api.options import RateLimitOptions
from services.tests.api.conftest import ADMIN, READ, api
from services.tests.api.test_access import assert_error, signed

if TYPE_CHECKING:
    import httpx

    from services.warehouse.address import ClickHouseAddress


# A day that is none, which is refused after the limits have been looked at, and without the database.
DAY = "/api/workers/share-value/none"
STATS = "/api/pool/stats"


def limits(address: int = 1000, summary: int = 1000, reload: int = 1000, token: int = 1000) -> RateLimitOptions:
    return RateLimitOptions(address, summary, reload, token)


def standing(answer: httpx.Response) -> tuple[int, int]:
    """Limit and what remains; the reset lies within the next minute."""
    reset = int(answer.headers["X-RateLimit-Reset"])
    assert 0 <= reset - time.time() <= 61
    return int(answer.headers["X-RateLimit-Limit"]), int(answer.headers["X-RateLimit-Remaining"])


async def test_an_address_may_ask_so_often_and_hears_how_often(store: ClickHouseAddress) -> None:
    async with api(store, rate_limits=limits(address=3, summary=2)) as client:
        answers = [await client.get(DAY, headers=headers) for headers in (READ, {}, ADMIN)]
        assert [answer.status_code for answer in answers] == [400, 401, 403]
        assert [standing(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0)]
        refused = await client.get(f"{DAY}2", headers=READ)
        assert_error(refused, 429, "RATE_LIMITED")
        assert standing(refused) == (3, 0)
        assert 1 <= int(refused.headers["Retry-After"]) <= 61
        # Each endpoint is counted by itself; one that there is not, too.
        assert [standing(await client.get("/api/stats/summary"))[1] for _ in range(2)] == [1, 0]
        assert_error(await client.get("/api/stats/summary"), 429, "RATE_LIMITED")
        assert (await client.get("/api/workers/timerange", headers=READ)).status_code == 422
        assert [(await client.get(f"/api/nosuch{n}")).status_code for n in range(4)] == [404, 404, 404, 429]
        for path in ("/health", "/docs", "/openapi.json"):
            for _ in range(5):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert "X-RateLimit-Limit" not in answer.headers


async def test_a_token_may_ask_so_often_from_wherever(store: ClickHouseAddress) -> None:
    async with api(store, trusted_proxies=("127.0.0.1",), rate_limits=limits(address=100, token=3)) as client:

        async def ask(path: str, headers: dict[str, str], address: str) -> httpx.Response:
            return await client.get(path, headers={**headers, "X-Forwarded-For": address})

        jwt = signed("read")
        for number, path in enumerate((DAY, "/api/workers/timerange", DAY)):
            assert standing(await ask(path, READ, f"10.0.0.{number}")) == (3, 2 - number)
            assert standing(await ask(path, jwt, "10.0.1.1")) == (3, 2 - number)
        for headers in (READ, jwt):
            refused = await ask(DAY, headers, "10.0.0.77")
            assert_error(refused, 429, "RATE_LIMITED")
            assert "token" in refused.json()["detail"]
            assert (standing(refused), int(refused.headers["Retry-After"]) > 0) == ((3, 0), True)
        other = {"Authorization": "Bearer second-token"}
        assert (await ask(DAY, other, "10.0.0.77")).status_code == 400


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_a_spoofed_header_changes_no_limit(store: ClickHouseAddress, trusted: tuple[str, ...]) -> None:
    async with api(store, trusted_proxies=trusted, rate_limits=limits(address=4)) as client:
        statuses = []
        for number in range(6):
            # What a trusted proxy appends is the right-most one; the rest, a client may have written.
            spoofed = f"8.8.8.{number}, 198.51.100.7" if trusted else f"8.8.8.{number}"
            answer = await client.get(DAY, headers={**READ, "X-Forwarded-For": spoofed})
            statuses.append(answer.status_code)
        assert statuses == [400] * 4 + [429] * 2


async def test_addresses_of_one_ipv6_network_count_as_one(store: ClickHouseAddress) -> None:
    async with api(store, trusted_proxies=("127.0.0.1",), rate_limits=limits(address=2)) as client:

        async def ask(address: str) -> int:
            return (await client.get(DAY, headers={**READ, "X-Forwarded-For": address})).status_code

        assert [await ask(f"2001:db8:1:2::{n}") for n in (1, 2, 3)] == [400, 400, 429]
        assert [await ask(f"2001:db8:1:3::{n}") for n in (1, 2, 3)] == [400, 400, 429]
        assert [await ask(f"10.0.0.{n}") for n in (1, 2, 3)] == [400, 400, 400]


async def test_reloads_are_limited(store: ClickHouseAddress) -> None:
    async with api(store, rate_limits=limits(reload=2)) as client:
        answers = [await client.post("/api/reload", headers=READ) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [403, 403, 429]


async def test_what_is_too_long_is_refused(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        long = await client.get("/api/workers/stats", params={"worker": "x" * 9000}, headers=READ)
        assert_error(long, 414, "QUERY_TOO_LONG")
        fits = {"worker": "\N{PILE OF POO}" * 256, "pool": "\N{PILE OF POO}" * 256}
        assert (await client.get("/api/workers/stats", params=fits, headers=READ)).status_code in (200, 503)
        large = await client.post("/api/reload", content=b"x" * 20_000, headers=ADMIN)
        assert_error(large, 413, "BODY_TOO_LARGE")
        assert (await client.post("/api/reload", content=b"{}", headers=ADMIN)).status_code in (200, 503)


async def test_whoever_has_an_answer_already_is_told_so(store: ClickHouseAddress) -> None:
    day = "/api/workers/share-value/2026-01-01"
    async with api(store) as client:
        for path in (day, "/openapi.json", "/api/workers/stats"):
            first = await client.get(path, headers=READ)
            tag = first.headers["ETag"]
            for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
                again = await client.get(path, headers={**READ, "If-None-Match": known})
                assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
                assert "X-Request-ID" in again.headers
            assert (await client.get(path, headers={**READ, "If-None-Match": '"other"'})).status_code == 200
        assert (await client.get(day, headers=READ)).headers["Cache-Control"] == "private, max-age=60"
        assert (await client.get(STATS, headers=READ)).headers["Cache-Control"] == "no-cache"
        assert (await client.get(STATS)).headers["Cache-Control"] == "no-store"


async def test_pages_of_the_chosen_origins_may_read(store: ClickHouseAddress) -> None:
    origin = {"Origin": "https://validators.example"}
    asked = {**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    settings: dict[str, Any] = {"rate_limits": limits(address=1)}
    async with api(store, **settings) as client:
        answers = [await client.get(DAY, headers={**READ, **origin}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [400, 429]
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]
        assert (await client.options(STATS, headers=asked)).status_code == 200
        posting = {**asked, "Access-Control-Request-Method": "POST"}
        assert (await client.options("/api/reload", headers=posting)).status_code == 400
    async with api(store, cors_origins=("https://other.example",)) as client:
        assert "Access-Control-Allow-Origin" not in (await client.get(DAY, headers={**READ, **origin})).headers
        assert (await client.options(STATS, headers=asked)).status_code == 400
