"""One address for the metrics and probes of several processes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from services.proxy.crew_probes import CrewProbes
from services.proxy.pool import own_numbers
from services.proxy.server import Proxy
from services.tests.proxy.conftest import proxy_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.tests.proxy.scripted_pool import ScriptedPool


@asynccontextmanager
async def answering(folder: Path, processes: int) -> AsyncIterator[tuple[CrewProbes, aiohttp.ClientSession]]:
    probes = CrewProbes({number: folder / f"{number}.sock" for number in range(1, processes + 1)})
    await probes.open("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{probes.port}") as web:
        yield probes, web
    await probes.close()


async def test_each_sample_says_which_process_it_is_from(tmp_path: Path, pool: ScriptedPool) -> None:
    one, two = (
        proxy_options(tmp_path / "spool", pool.port).for_worker(number, 2, tmp_path / f"{number}.sock")
        for number in (1, 2)
    )
    async with Proxy(one), Proxy(two) as second, answering(tmp_path, 3) as (probes, web):
        async with web.get("/metrics") as answer:
            text = await answer.text()
        families = list(text_string_to_metric_families(text))
        names = [family.name for family in families]
        assert len(set(names)) == len(names)
        flags = {
            sample.labels["process"]: sample.value
            for family in families
            if family.name == "sharehouse_spool_recording"
            for sample in family.samples
        }
        assert flags == {"1": 1.0, "2": 1.0}
        assert "sharehouse_processes 3.0" in text
        assert "sharehouse_processes_answering 2.0" in text
        assert text.count("# TYPE sharehouse_shares_total counter") == 1
        async with web.get("/readyz") as answer:
            assert answer.status == 200
        assert await probes.is_ready(2)
        assert not await probes.is_ready(3)
        second.probes.ready = False
        async with web.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "process 2: no miners are taken\n")
    assert (one.name, two.name) == ("test-proxy/1", "test-proxy/2")


async def test_with_nobody_there_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    async with answering(tmp_path, 2) as (_, web):
        for path, status in (("/healthz", 200), ("/readyz", 503), ("/metrics", 200)):
            async with web.get(path) as answer:
                assert answer.status == status


def test_no_two_processes_ever_use_the_same_low_byte() -> None:
    for workers in (1, 2, 3, 5, 64):
        seen: list[set[int]] = []
        for worker in range(workers):
            numbers = own_numbers(worker, workers)
            seen.append({next(numbers) % 256 for _ in range(1000)})
        assert sum(map(len, seen)) == len(set().union(*seen))
        assert all(seen)
