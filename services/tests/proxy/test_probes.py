from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from services.proxy.options import Limits, PoolOptions
from services.proxy.server import Proxy, serve
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner

if TYPE_CHECKING:
    from pathlib import Path

    from services.tests.proxy.conftest import Started

SERIES = (
    'sharehouse_miner_connections{pool_label="normal"} 1.0',
    'sharehouse_shares_total{pool_label="normal",reason="",verdict="accepted"} 1.0',
    'sharehouse_shares_total{pool_label="normal",reason="duplicate",verdict="rejected"} 1.0',
    'sharehouse_upstreams{pool_label="normal",state="ready"} 1.0',
    'sharehouse_upstreams{pool_label="normal",state="connecting"} 0.0',
    'sharehouse_notify_fanout_seconds_count{pool_label="normal"} 1.0',
    'sharehouse_reloads_total{result="refused"} 0.0',
    'sharehouse_pool_latency_seconds_count{pool_label="normal"} 1.0',
    'shares_unrecorded_total{pool_label="normal"} 0.0',
    "sharehouse_spool_recording 1.0",
    "sharehouse_spool_rows ",
    "sharehouse_spool_bytes ",
    "sharehouse_spool_oldest_age_seconds ",
)


async def test_metrics_and_probes(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner, aiohttp.ClientSession() as web:
        job = await miner.start("a-workers-name")
        (await pool.connection()).notify(make_job("next"))
        assert (await miner.job()).prevhash == job.prevhash
        share = miner.share(job, worker="a-workers-name")
        await miner.ask("mining.submit", share)
        await miner.ask("mining.submit", share)
        url = f"http://127.0.0.1:{proxy.probes.port}"
        async with web.get(url + "/metrics") as answer:
            metrics = await answer.text()
        for path in ("/healthz", "/readyz"):
            async with web.get(url + path) as answer:
                assert answer.status == 200
    for series in SERIES:
        assert series in metrics
    assert "a-workers-name" not in metrics


async def test_no_password_is_logged(started: Started, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start("w", "a miner's secret;md=fish")
        assert "secret" not in repr(proxy_options(proxy.spool.held.path, 1))
    text = capsys.readouterr().out

    assert "authorize" in text
    assert "secret" not in text
    # What it asks for and cannot have is told by the field's name alone.
    assert "password_fields_ignored" in text
    assert "md" in text
    assert "fish" not in text
    assert "pool-password" not in text


async def test_verdicts_are_logged_where_debug_is_wanted(
    started: Started, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    level = root.level
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        job = await miner.start("farm.quiet")
        await miner.submit(job, worker="farm.quiet")
        root.setLevel(logging.DEBUG)
        await miner.submit(job, worker="farm.quiet", start=1000)
        await miner.ask("mining.submit", ["farm.quiet", "gone", "00000000", "00000000", "00000000"])
        root.setLevel(level)
    lines = [line for line in capsys.readouterr().out.splitlines() if "verdict" in line and "farm.quiet" in line]
    assert len(lines) == 2
    assert "unknown_job" in lines[1]


async def test_each_pool_has_its_port(tmp_path: Path, pool: ScriptedPool) -> None:
    async with ScriptedPool() as other:
        options = proxy_options(tmp_path, pool.port)
        high = PoolOptions("high_diff", 0, "127.0.0.1", other.port, "high-wallet")
        async with Proxy(replace(options, pools=(*options.pools, high))) as proxy:
            async with TalkingMiner(miner_port(proxy, "high_diff")) as miner:
                await miner.start()
            assert (len(pool.connections), len(other.connections)) == (0, 1)
            assert other.connections[0].params("mining.authorize")[0][0] == "high-wallet"


@pytest.mark.parametrize("which", ["miners", "metrics"])
async def test_a_port_in_use_is_one_clear_sentence(tmp_path: Path, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = proxy_options(tmp_path, 1)
        if which == "metrics":
            options = replace(options, metrics_port=port)
        else:
            options = replace(options, pools=(replace(options.pools[0], listen_port=port),))
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*"):
            await asyncio.wait_for(serve(options), 30)


async def test_a_spool_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        await serve(proxy_options(tmp_path / "file" / "spool", 1))


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    options = proxy_options(tmp_path, 1)
    pool = replace(options.pools[0], listen_port=3331)
    with pytest.raises(ValueError, match="at least one pool"):
        replace(options, pools=())
    with pytest.raises(ValueError, match="same name"):
        replace(options, pools=(pool, pool))
    with pytest.raises(ValueError, match="same port"):
        replace(options, pools=(pool, replace(pool, name="other")))
    with pytest.raises(ValueError, match="line_bytes"):
        Limits(line_bytes=0)
