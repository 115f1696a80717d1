"""Pools that speak TLS, with the certificates of the proxy's tests."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from async_merge_miner import AsyncStratumClient
from services.miner import failure
from services.tests.miner.scripted_pool import ScriptedPool, notify, set_difficulty

FILES = Path(__file__).parents[1] / "proxy" / "certificates"


def behind_tls() -> ScriptedPool:
    pool = ScriptedPool()
    pool.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pool.tls.load_cert_chain(FILES / "pool.pem", FILES / "pool.key")
    pool.after_subscribe = [set_difficulty(0.5), notify("j1")]
    return pool


async def test_shares_go_by_tls_to_a_pool_that_proves_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(FILES / "pool.pem"))
    async with behind_tls() as pool:
        client = AsyncStratumClient("localhost", pool.port, "wallet.rig", "x", tls=True)
        await client.connect()
        assert await client.job_after(None) is not None
        assert await client.submit_share("j1", 7)
        await client.close()


@pytest.mark.parametrize(("trusted", "host"), [("first", "localhost"), ("pool", "127.0.0.1")])
async def test_one_that_does_not_is_not_mined_at(monkeypatch: pytest.MonkeyPatch, trusted: str, host: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(FILES / f"{trusted}.pem"))
    async with behind_tls() as pool:
        client = AsyncStratumClient(host, pool.port, "wallet.rig", "x", tls=True)
        with pytest.raises(ConnectionError, match="its TLS certificate cannot be trusted"):
            await client.connect()
        assert pool.requests == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "no answer in time"),
        (socket.gaierror(-2, "Name or service not known"), "there is no host of that name"),
        (ssl.SSLError(1, "wrong version number"), "it does not speak TLS"),
        (ConnectionRefusedError(111, "refused"), "refused, nobody listens"),
        (OSError(113, "No route to host"), "No route to host"),
        (ConnectionResetError(), "it hangs up; is it a Stratum pool"),
        (BrokenPipeError(), "BrokenPipeError"),
    ],
)
def test_reasons_for_people(error: OSError, told: str) -> None:
    assert told in failure.reason(error)
