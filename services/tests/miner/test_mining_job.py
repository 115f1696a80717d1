from __future__ import annotations

from dataclasses import replace

import pytest

from async_merge_miner import AsyncStratumClient
from services.miner import Chain
from services.stratum.version import rolled
from services.tests.miner.scripted_pool import ScriptedPool, notify, set_difficulty


@pytest.mark.parametrize(("mask", "count"), [(0x1FFFE000, 8), (0x00006000, 4), (0x00002000, 2), (0, 1)])
async def test_versions_stay_under_the_mask(mask: int, count: int) -> None:
    async with ScriptedPool(configure={"version-rolling": True, "version-rolling.mask": f"{mask:08x}"}) as pool:
        pool.after_subscribe = [set_difficulty(1), notify("j1")]
        client = AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "x")
        await client.connect()
        job = await client.job_after(None)
        assert job is not None
        versions = job.versions()
        assert len(set(versions)) == len(versions) == count
        assert versions[0] == job.job.version
        assert all(rolled(job.job.version, mask, version & mask) == version for version in versions)
        work = client.next_work(job)
        assert work.prefix() == work.header(5, job.job.version)[:76]
        assert work.header(5, versions[-1]) == versions[-1].to_bytes(4, "little") + work.header(5, versions[0])[4:]
        await client.close()


async def test_a_new_mask_holds_for_the_job_in_hand() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(1), notify("j1")]
        client = AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "x")
        await client.connect()
        job = await client.job_after(None)
        assert job is not None
        assert len(job.versions()) == 8
        pool.say({"id": None, "method": "mining.set_version_mask", "params": ["00000000"]})
        await pool.settled()
        narrowed = client.job
        assert narrowed == replace(job, version_mask=0)
        assert narrowed is not job
        await client.close()


async def test_targets_of_the_chains_that_are_mined() -> None:
    async with ScriptedPool() as pool:
        pool.after_subscribe = [set_difficulty(1), notify("j1")]
        client = AsyncStratumClient("127.0.0.1", pool.port, "wallet.rig", "x")
        await client.connect()
        job = await client.job_after(None)
        assert job is not None
        network = job.network_target
        assert job.targets([Chain.ROLLPOW, Chain.TETRAPOW]) == {
            Chain.ROLLPOW: 2 * network,
            Chain.TETRAPOW: 4 * network,
        }
        assert list(job.targets([Chain.BTC])) == [Chain.BTC]
        await client.close()
