"""Who may see the pages."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from html import unescape
from typing import TYPE_CHECKING

import httpx
import jwt
import pytest

from services.dashboard.attempts import MOST_FAILURES, Attempts
from services.dashboard.login_session import LASTS_SECONDS, Credentials
from services.tests.dashboard.conftest import dashboard

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

PASSWORD = "korrekt: Pferd"
TOKEN = "a-token-of-some-length"
PATHS = ("/", "/events", "/nosuch", "/logout")
HTML = {"Accept": "text/html,application/xhtml+xml"}


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(credentials.encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return unescape(found[1])


async def log_in(client: httpx.AsyncClient, secret: str = PASSWORD, path: str = "/login") -> httpx.Response:
    page = (await client.get(path)).text
    form = {"secret": secret, "token": hidden(page, "token"), "next": hidden(page, "next")}
    return await client.post("/login", data=form)


async def test_scripts_need_a_credential_for_everything_but_the_probe(store: ClickHouseAddress) -> None:
    wrong: list[dict[str, str]] = [
        {},
        basic(f"x:{PASSWORD[:-1]}"),
        basic("x:"),
        {"Authorization": "Basic ****"},
        bearer(TOKEN[1:]),
        {"Authorization": f"Bearer {'A' * 5000}"},
        {"Cookie": "sharehouse_session=x.y.z"},
    ]
    async with (
        dashboard(store, host="0.0.0.0", password=PASSWORD, tokens=(TOKEN,)) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        for number, headers in enumerate(wrong):
            answer = await client.get(PATHS[number % len(PATHS)], headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer"), headers
            assert PASSWORD not in answer.text
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/static/base.css")).status_code == 200
        for headers in (basic(f":{PASSWORD}"), basic(f"a b:{PASSWORD}"), bearer(TOKEN), bearer(PASSWORD)):
            assert (await client.get("/", headers=headers)).status_code == 200
        answer = await client.get("/", headers={**bearer(TOKEN), "Host": "rig.example.org:5000"})
        assert answer.status_code == 200


async def test_a_browser_logs_in_goes_on_to_its_page_and_out(store: ClickHouseAddress) -> None:
    async with (
        dashboard(store, password=PASSWORD) as url,
        httpx.AsyncClient(base_url=url, headers=HTML, timeout=60) as client,
    ):
        sent = await client.get("/?q=rig%201")
        assert (sent.status_code, sent.headers["Location"]) == (303, "./login?next=%3Fq%3Drig%25201")
        assert (await log_in(client, "wrong")).status_code == 401
        assert (await client.get("/")).status_code == 303
        answer = await log_in(client, path="/login?next=%3Fq%3Drig%25201")
        assert (answer.status_code, answer.headers["Location"]) == (303, "./?q=rig%201")
        cookie = next(one for one in answer.headers.get_list("Set-Cookie") if one.startswith("sharehouse_session="))
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        page = (await client.get("/")).text
        assert (await client.get("/login?next=//evil.example/")).headers["Location"] == "./evil.example/"
        # Only this page's own button logs out.
        assert (await client.post("/logout", data={"token": "0" * 64})).headers["Location"] == "./"
        assert (await client.get("/")).status_code == 200
        assert (await client.post("/logout", data={"token": hidden(page, "token")})).headers["Location"] == "./login"
        assert (await client.get("/")).status_code == 303


async def test_a_login_form_of_another_site_is_refused(store: ClickHouseAddress) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        theirs = hidden((await client.get("/login")).text, "token")
        client.cookies.clear()
        assert (await client.post("/login", data={"secret": PASSWORD, "token": theirs})).status_code == 403
        assert (await client.post("/login", content=b"x" * 100_000)).status_code == 403
        assert "sharehouse_session" not in client.cookies


async def test_too_many_wrong_passwords_have_to_wait(store: ClickHouseAddress) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        for _ in range(MOST_FAILURES):
            assert (await client.get("/", headers=basic("x:wrong"))).status_code == 401
        answer = await client.get("/", headers=basic(f"x:{PASSWORD}"))
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 300
        assert (await log_in(client)).status_code == 429


def test_attempts_are_forgotten_in_time_and_with_success() -> None:
    now = 0.0
    attempts = Attempts(lambda: now)
    for _ in range(MOST_FAILURES):
        assert attempts.wait_seconds("a") == 0
        attempts.failed("a")
    assert (attempts.wait_seconds("a"), attempts.wait_seconds("b")) == (300, 0)
    now = 300.0
    assert attempts.wait_seconds("a") == 0
    attempts.failed("a")
    attempts.succeeded("a")
    assert attempts.wait_seconds("a") == 0


def test_sessions_end_with_time_and_with_their_credentials() -> None:
    now = 1_000_000.0
    old = Credentials("one", ("token",), lambda: now)
    cookie = old.begin("password")
    session = old.session(cookie)
    assert session is not None
    assert session.holder == "password"
    assert Credentials("one", ("token",), lambda: now).session(cookie) == session
    assert Credentials("two", ("token",), lambda: now).session(cookie) is None
    assert Credentials("one", (), lambda: now).session(cookie) is None
    assert Credentials("", (), lambda: now).session(cookie) is None
    assert old.session(cookie[:-2]) is None
    unsigned = jwt.encode({"sub": "password", "exp": now + 9, "jti": "x"}, "", algorithm="none")
    assert old.session(unsigned) is None
    now += LASTS_SECONDS
    assert old.session(cookie) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5000", "", "192.168.0.9"]
)
async def test_without_a_password_a_foreign_name_is_refused(store: ClickHouseAddress, host: str) -> None:
    async with dashboard(store) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        for path in PATHS:
            assert (await client.get(path, headers={"Host": host})).status_code == 403
        assert (await client.get("/", headers={"Host": "localhost:5000"})).status_code == 200
        assert (await client.get("/healthz", headers={"Host": host})).status_code == 200


async def test_a_password_that_is_set_counts_on_loopback_too(store: ClickHouseAddress) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        assert (await client.get("/")).status_code == 401


async def test_the_password_stays_out_of_the_log(store: ClickHouseAddress, capfd: pytest.CaptureFixture[str]) -> None:
    async with dashboard(store, password=PASSWORD) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        await asyncio.gather(client.get("/", headers=basic(f"x:{PASSWORD}")), client.get("/?password=in-the-query"))
    out, err = capfd.readouterr()
    assert "request" in out + err
    assert PASSWORD not in out + err
    assert "in-the-query" not in out + err
