"""Whose request it is, with and without proxies in front."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from structlog.testing import capture_logs

from services.tests.conftest import unused_port
from services.tests.serving import running
from services.web.access import AccessMiddleware
from services.web.client_address import ClientAddress
from services.web.serving import serve_app

PROXIES = ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        # Who is not trusted is believed nothing.
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        # What a client wrote itself stands to the left of what the proxy appended.
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.7,10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:5555"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::5]:443, [2001:db9::1]:80"], "2001:db9::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8::1", ["2001:db9::2"], "2001:db9::2"),
        # Nothing that is no address gets into the log.
        ("10.0.0.1", ["198.51.100.1, <script>"], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_right_most_address_that_is_not_trusted(peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}
    assert ClientAddress(PROXIES).of(scope) == client
    assert ClientAddress().of(scope) == peer.removeprefix("::ffff:")


@pytest.mark.parametrize(("trusted", "client"), [(("127.0.0.0/8",), "198.51.100.1"), ((), "127.0.0.1")])
async def test_the_access_log_names_the_client(trusted: tuple[str, ...], client: str) -> None:
    app = FastAPI()
    app.add_middleware(
        AccessMiddleware, headers={}, failure=lambda _: PlainTextResponse("", 500), trusted_proxies=trusted
    )
    port = unused_port()
    with capture_logs() as lines:
        async with running(lambda: serve_app(app, "127.0.0.1", port, name="app", port_setting="PORT"), port):
            async with httpx.AsyncClient(timeout=60) as asking:
                await asking.get(f"http://127.0.0.1:{port}/x", headers={"X-Forwarded-For": "1.1.1.1, 198.51.100.1"})
    assert [line["client"] for line in lines if line["event"] == "request"] == [client]
