"""Who may see the pages."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import TYPE_CHECKING

import httpx
import pytest

from services.tests.dashboard.conftest import dashboard

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

PASSWORD = "korrekt: Pferd"
PATHS = ("/", "/events", "/static/live.js", "/nosuch")


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(credentials.encode()).decode()}


async def test_a_password_guards_everything_but_the_probe(store: ClickHouseAddress) -> None:
    wrong = [
        {},
        basic(f"x:{PASSWORD[:-1]}"),
        basic(f"x:{PASSWORD}!"),
        basic("x:"),
        basic(PASSWORD),
        {"Authorization": "Basic"},
        {"Authorization": "Basic ****"},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"Authorization": "Basic " + "A" * 5000},
    ]
    async with dashboard(store, host="0.0.0.0", password=PASSWORD) as url, httpx.AsyncClient(base_url=url) as client:
        for path in PATHS:
            for headers in wrong:
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Basic "), (path, headers)
                assert PASSWORD not in answer.text
        assert (await client.get("/healthz")).status_code == 200
        for user in ("", "operator", "a b"):
            answer = await client.get("/", headers=basic(f"{user}:{PASSWORD}"))
            assert answer.status_code == 200
        answer = await client.get("/", headers={**basic(f":{PASSWORD}"), "Host": "rig.example.org:5000"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5000", "", "192.168.0.9"]
)
async def test_without_a_password_a_foreign_name_is_refused(store: ClickHouseAddress, host: str) -> None:
    async with dashboard(store) as url, httpx.AsyncClient(base_url=url) as client:
        for path in PATHS:
            assert (await client.get(path, headers={"Host": host})).status_code == 403
        assert (await client.get("/", headers={"Host": "localhost:5000"})).status_code == 200
        assert (await client.get("/healthz", headers={"Host": host})).status_code == 200


async def test_a_password_that_is_set_counts_on_loopback_too(store: ClickHouseAddress) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/")).status_code == 401


async def test_the_password_stays_out_of_the_log(store: ClickHouseAddress, capfd: pytest.CaptureFixture[str]) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url) as client:
        await asyncio.gather(client.get("/", headers=basic(f"x:{PASSWORD}")), client.get("/?password=in-the-query"))
    out, err = capfd.readouterr()
    assert "request" in out + err
    assert PASSWORD not in out + err
    assert "in-the-query" not in out + err
