"""Miners that speak TLS, and certificates that change under them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.proxy import acceptor, certificate
from services.proxy.certificate import CertificateError, load
from services.proxy.options import Limits, TlsOptions
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.proxy.test_abuse import limit_hits

if TYPE_CHECKING:
    from services.proxy.server import Proxy
    from services.tests.proxy.conftest import Started
    from services.tests.proxy.scripted_pool import ScriptedPool

FILES = Path(__file__).parent / "certificates"
REAL = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 3331\r\n"


def client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tls_port(proxy: Proxy) -> int:
    port = proxy.listeners["normal"].tls_port
    assert port is not None
    return port


def der(name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert((FILES / f"{name}.pem").read_text())


def install(name: str, folder: Path) -> TlsOptions:
    """Puts a pair of files where the options say, as certbot does: by a rename each."""
    options = TlsOptions(folder / "proxy.pem", folder / "proxy.key")
    for source, target in ((f"{name}.pem", options.certificate), (f"{name}.key", options.key)):
        shutil.copy(FILES / source, folder / "new")
        (folder / "new").rename(target)
    return options


def shown(miner: TalkingMiner) -> bytes | None:
    found: bytes | None = miner.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found


def reloads(proxy: Proxy, result: str) -> float:
    return proxy.registry.get_sample_value("sharehouse_tls_certificate_reloads_total", {"result": result}) or 0.0


@pytest.fixture
def tls(tmp_path: Path) -> TlsOptions:
    return install("first", tmp_path)


async def test_a_miner_mines_by_tls_beside_one_without(started: Started, pool: ScriptedPool, tls: TlsOptions) -> None:
    async with started(pool.port, tls=tls) as proxy:
        async with TalkingMiner(tls_port(proxy), tls=client()) as safe, TalkingMiner(miner_port(proxy)) as plain:
            assert (await safe.submit(await safe.start()))["result"] is True
            assert (await plain.submit(await plain.start()))["result"] is True
            assert shown(safe) == der("first")
            assert {each.miner.address for each in proxy.listeners["normal"].connections} == {
                safe.address,
                plain.address,
            }


async def test_a_new_certificate_serves_new_connections_and_the_old_ones_stay(
    started: Started, pool: ScriptedPool, tls: TlsOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "LOOK_EVERY_SECONDS", 0.02)
    async with started(pool.port, tls=tls) as proxy, TalkingMiner(tls_port(proxy), tls=client()) as old:
        job = await old.start()
        tls.key.write_bytes(b"half of a ke")
        async with asyncio.timeout(30):
            while not reloads(proxy, "refused"):
                await asyncio.sleep(0.01)
        async with TalkingMiner(tls_port(proxy), tls=client()) as meanwhile:
            assert shown(meanwhile) == der("first")
        install("second", tmp_path)
        async with asyncio.timeout(30):
            while not reloads(proxy, "loaded"):
                await asyncio.sleep(0.01)
        async with TalkingMiner(tls_port(proxy), tls=client()) as new:
            assert shown(new) == der("second")
            await new.start()
        assert (await old.submit(job))["result"] is True


async def test_plain_text_on_the_tls_port_is_told_so(started: Started, pool: ScriptedPool, tls: TlsOptions) -> None:
    async with started(pool.port, tls=tls) as proxy, TalkingMiner(tls_port(proxy)) as miner:
        miner.send("mining.subscribe", [])
        assert "stratum+ssl" in (await miner.read())["error"][1]
        await miner.closed()
        assert limit_hits(proxy, "tls_handshake") == 1
        refused = {"pool_label": "normal", "reason": "tls_handshake"}
        assert proxy.registry.get_sample_value("sharehouse_miner_connections_refused_total", refused) == 1


async def test_tls_on_the_plain_port_is_counted(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await TalkingMiner(miner_port(proxy), tls=client()).__aenter__()
        assert limit_hits(proxy, "tls_on_plain_port") == 1
        async with TalkingMiner(miner_port(proxy)) as curious:
            curious.write(b"\x16\x03\x01\x02\x00\x01")
            assert "without TLS" in (await curious.read())["error"][1]
            await curious.closed()


async def test_a_handshake_has_its_time(
    started: Started, pool: ScriptedPool, tls: TlsOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "TLS_HANDSHAKE_SECONDS", 0.3)
    async with started(pool.port, tls=tls) as proxy:
        for start in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05hello"):
            async with TalkingMiner(tls_port(proxy)) as miner:
                miner.write(start)
                async with asyncio.timeout(30):
                    assert not (await miner.reader.read(100)).startswith(b"{")
        assert limit_hits(proxy, "tls_handshake") == 4
        assert not proxy.listeners["normal"].connections


async def test_a_balancer_says_whose_tls_connection_it_is(
    started: Started, pool: ScriptedPool, tls: TlsOptions
) -> None:
    async with started(
        pool.port, tls=tls, trusted_proxies=("127.0.0.1",), limits=Limits(connections_per_address=1)
    ) as proxy:
        connection = socket.create_connection(("127.0.0.1", tls_port(proxy)))
        connection.sendall(REAL)
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection, ssl=client(), server_hostname="x")
        writer.write(b'{"id":1,"method":"mining.subscribe","params":[]}\n')
        assert b'"id":1' in await reader.readline()
        assert {each.miner.address for each in proxy.listeners["normal"].connections} == {"192.0.2.7:4711"}
        with socket.create_connection(("127.0.0.1", tls_port(proxy))) as second:
            second.sendall(REAL)
            second.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(second, 10) == b""
        assert limit_hits(proxy, "connections_per_address") == 1
        writer.transport.abort()


@pytest.mark.parametrize(
    ("certificate_file", "key_file", "part", "why"),
    [
        ("first.pem", "none.key", "key", "No such file"),
        ("none.pem", "first.key", "certificate", "No such file"),
        ("first.pem", "second.key", "key", "not the key of"),
        ("first.key", "first.key", "certificate", "not a certificate"),
        ("first.pem", "first.pem", "key", "not a private key"),
    ],
)
def test_files_that_cannot_serve(certificate_file: str, key_file: str, part: str, why: str) -> None:
    with pytest.raises(CertificateError, match=why) as error:
        load(TlsOptions(FILES / certificate_file, FILES / key_file))
    assert error.value.part == part
