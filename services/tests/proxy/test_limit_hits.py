"""What is told of limits that somebody ran into, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from services.proxy.limit_hits import LimitHits
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    import pytest

    from services.tests.proxy.conftest import Started
    from services.tests.proxy.scripted_pool import ScriptedPool

HELLOS = (
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "junk_lines"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "tls_on_plain_port"),
    (b"\x00\xff SSH-2.0\n", "junk_lines"),
)


async def test_a_port_scan_is_counted_and_told_of_once(
    started: Started, pool: ScriptedPool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.proxy.limit_hits._TOLD_EVERY_SECONDS", 3600.0)
    async with started(pool.port) as proxy:
        for _ in range(10):
            for hello, _ in HELLOS:
                async with TalkingMiner(miner_port(proxy)) as scanner:
                    scanner.write(hello)
                    await scanner.reader.read()

        def hits(limit: str) -> float:
            labels = {"pool_label": "normal", "limit": limit}
            return proxy.registry.get_sample_value("sharehouse_miner_limits_hit_total", labels) or 0.0

        await until(lambda: (hits("junk_lines"), hits("tls_on_plain_port")) == (20, 10))
        # A miner among them is served.
        async with TalkingMiner(miner_port(proxy)) as miner:
            assert (await miner.submit(await miner.start()))["result"] is True
    http, tls = (line for line in capsys.readouterr().out.splitlines() if "[warning  ] limit " in line)
    assert "limit=junk_lines" in http
    assert "why='an HTTP request'" in http
    assert "limit=tls_on_plain_port" in tls


def test_a_host_that_changes_its_ipv6_address_is_told_of_once(capsys: pytest.CaptureFixture[str]) -> None:
    hits = LimitHits(CollectorRegistry(), lambda: 0.0)
    for number in range(1, 50):
        hits.hit("junk_lines", "normal", f"2001:db8:0:1::{number:x}")
    hits.hit("junk_lines", "normal", "2001:db8:0:2::1")
    assert capsys.readouterr().out.count("limit=junk_lines") == 2
