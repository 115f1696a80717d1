"""Pools that speak TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.proxy import dialing
from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import PoolOptions
from services.proxy.server import Proxy
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.proxy.options import ProxyOptions

FILES = Path(__file__).parent / "certificates"


@pytest.fixture
def trusted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine trusts the pool's certificate, or, by indirect parameter, another one alone."""
    monkeypatch.setenv("SSL_CERT_FILE", str(FILES / f"{getattr(request, 'param', 'pool')}.pem"))
    dialing._trusting_context.cache_clear()
    yield
    dialing._trusting_context.cache_clear()


def behind_tls() -> ScriptedPool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FILES / "pool.pem", FILES / "pool.key")
    return ScriptedPool(tls=context)


def options(folder: Path, host: str, port: int, *fallbacks: PoolEndpoint) -> ProxyOptions:
    pool = PoolOptions("normal", 0, host, port, "wallet", "x", tls=True, fallbacks=fallbacks)
    return proxy_options(folder / "spool", 1, pools=(pool,))


@pytest.mark.usefixtures("trusted")
async def test_shares_go_up_by_tls(tmp_path: Path) -> None:

    async with behind_tls() as pool, Proxy(options(tmp_path, "localhost", pool.port)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as miner:
            assert (await miner.submit(await miner.start()))["result"] is True


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("trusted", "host", "why"),
    [("first", "localhost", "certificate verify failed"), ("pool", "127.0.0.1", "IP address mismatch")],
    indirect=["trusted"],
)
async def test_a_pool_that_cannot_prove_its_name_is_not_mined_at(
    tmp_path: Path, host: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:

    async with behind_tls() as pool, ScriptedPool() as plain:
        fallback = PoolEndpoint("127.0.0.1", plain.port, "wallet")
        async with Proxy(options(tmp_path, host, pool.port, fallback)) as proxy:
            async with TalkingMiner(miner_port(proxy)) as miner, asyncio.timeout(50):
                assert (await miner.submit(await miner.start()))["result"] is True
        assert not pool.connections
        assert plain.connections
    assert why in capsys.readouterr().out
