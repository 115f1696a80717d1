"""Behind a load balancer that speaks the PROXY protocol, and on IPv6."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from services.proxy import acceptor
from services.proxy.options import Limits
from services.stratum.proxy_protocol import SIGNATURE_V2
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import ScriptedPool
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.proxy.test_abuse import limit_hits

if TYPE_CHECKING:
    from pathlib import Path

    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started

LOOPBACK = ("127.0.0.1", "::1")
REAL = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 3331\r\n"
REAL_V6 = (
    SIGNATURE_V2
    + struct.pack("!BBH", 0x21, 0x21, 36 + 5)
    + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + bytes(16)
    + struct.pack("!HH", 4711, 3331)
    + b"\x04\x00\x02ab"
)
LOCAL = SIGNATURE_V2 + b"\x20\x00\x00\x00"


def addresses(proxy: Proxy) -> set[str]:
    return {connection.miner.address for connection in proxy.listeners["normal"].connections}


@pytest.mark.parametrize(("header", "address"), [(REAL, "192.0.2.7:4711"), (REAL_V6, "[2001:db8::7]:4711")])
async def test_the_miner_is_known_by_its_real_address(
    started: Started, pool: ScriptedPool, header: bytes, address: str
) -> None:
    async with started(pool.port, trusted_proxies=LOOPBACK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        miner.write(header)
        assert (await miner.submit(await miner.start()))["result"] is True
        assert addresses(proxy) == {address}


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_a_balancer_that_speaks_for_itself(started: Started, pool: ScriptedPool, header: bytes) -> None:
    async with started(pool.port, trusted_proxies=LOOPBACK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        miner.write(header)
        await miner.start()
        assert addresses(proxy) == {miner.address}


async def test_a_header_that_comes_byte_by_byte(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, trusted_proxies=LOOPBACK) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        for position in range(len(REAL)):
            miner.write(REAL[position : position + 1])
            await asyncio.sleep(0.005)
        await miner.start()
        assert addresses(proxy) == {"192.0.2.7:4711"}


async def test_a_trusted_peer_need_not_send_a_header(
    started: Started, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HEADER_SECONDS", 0.2)
    async with started(pool.port, trusted_proxies=("127.0.0.0/8",)) as proxy:
        async with TalkingMiner(miner_port(proxy)) as prompt:
            assert (await prompt.submit(await prompt.start()))["result"] is True
        async with TalkingMiner(miner_port(proxy)) as hesitant:
            await asyncio.sleep(0.4)
            await hesitant.start()
            assert addresses(proxy) == {hesitant.address}
        assert limit_hits(proxy, "proxy_protocol") == 0


async def test_a_header_that_is_wrong_or_does_not_end(
    started: Started, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HEADER_SECONDS", 0.2)
    async with started(pool.port, trusted_proxies=("127.0.0.0/8",)) as proxy:
        for start in (b"PROXY TCP4 me you 1 2\r\n", b"PROXY ", SIGNATURE_V2 + b"\x21\x11\xff\xff"):
            async with TalkingMiner(miner_port(proxy)) as miner:
                miner.write(start)
                await miner.closed()
        assert limit_hits(proxy, "proxy_protocol") == 3
        assert not pool.connections


async def test_nobody_else_is_believed(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, trusted_proxies=("198.51.100.0/24",)) as proxy:
        for header in (REAL, REAL_V6):
            async with TalkingMiner(miner_port(proxy)) as liar:
                liar.write(header)
                assert "TRUSTED_PROXIES" in (await liar.read())["error"][1]
                await liar.closed()
        assert limit_hits(proxy, "proxy_protocol") == 2
        async with TalkingMiner(miner_port(proxy)) as miner:
            assert (await miner.submit(await miner.start()))["result"] is True
            assert addresses(proxy) == {miner.address}


async def test_limits_hold_for_the_real_address(started: Started, pool: ScriptedPool) -> None:
    limits = Limits(connections_per_address=1)
    async with started(pool.port, trusted_proxies=LOOPBACK, limits=limits) as proxy:
        async with TalkingMiner(miner_port(proxy)) as first, TalkingMiner(miner_port(proxy)) as second:
            first.write(REAL)
            await first.start()
            second.write(REAL)
            assert "too many connections from 192.0.2.7" in (await second.read())["error"][1]
        async with TalkingMiner(miner_port(proxy)) as other:
            other.write(REAL_V6)
            await other.start()


async def test_a_stop_drops_who_has_not_said_whose_it_is(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port, trusted_proxies=LOOPBACK) as proxy:
        miner = TalkingMiner(miner_port(proxy))
        await miner.__aenter__()
        await asyncio.sleep(0.05)
    await miner.closed()
    miner.writer.transport.abort()


@pytest.mark.parametrize("trusted", [(), ("198.51.100.0/24",)])
async def test_ipv6_and_ipv4_on_one_port(started: Started, pool: ScriptedPool, trusted: tuple[str, ...]) -> None:
    async with started(pool.port, host="::", trusted_proxies=trusted) as proxy:
        async with (
            TalkingMiner(miner_port(proxy), host="::1") as six,
            TalkingMiner(miner_port(proxy), host="127.0.0.1") as four,
        ):
            assert (await six.submit(await six.start()))["result"] is True
            await four.start()
            assert six.address.startswith("[::1]:")
            assert addresses(proxy) == {six.address, four.address}


async def test_rows_of_ipv6_miners_and_pools(started: Started, tmp_path: Path) -> None:
    async with ScriptedPool(host="::1") as pool, started(pool.port, host="::1", pool_host="::1") as proxy:
        async with TalkingMiner(miner_port(proxy), host="::1") as miner:
            assert (await miner.submit(await miner.start()))["result"] is True
            address = miner.address
    written = b"".join(file.read_bytes() for file in (tmp_path / "spool").iterdir() if file.is_file())
    assert address.startswith("[::1]:")
    assert address.encode() in written
    assert f"[::1]:{pool.port}".encode() in written
