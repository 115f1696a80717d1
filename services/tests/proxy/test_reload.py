"""A new configuration comes into force under miners that mine: only what changed moves, and nobody is dropped."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from services.proxy.options import Limits, PoolOptions, ProxyOptions
from services.proxy.patience import Patience
from services.proxy.reloading import ConfigurationRefused, Reloading
from services.proxy.server import Proxy
from services.tests.conftest import unused_port
from services.tests.proxy.conftest import miner_port, proxy_options
from services.tests.proxy.scripted_pool import Script, ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from services.proxy.reloading import ReloadOutcome
    from services.stratum.job import Job

    Reload = Callable[..., AbstractAsyncContextManager["Reloadable"]]

QUICK = Patience(move_seconds=0.01, first_pause_seconds=0.05, longest_pause_seconds=0.2)
SECOND = Script(extranonce1="5ec0dd00", job=make_job("second", prevhash=2))


class Reloadable:
    """A proxy, and the file that a test writes for it: options, or what is wrong with them."""

    def __init__(self, options: ProxyOptions) -> None:
        self.file: ProxyOptions | Exception = options
        self.options = options
        self.reloading = Reloading(self._load)
        self.proxy = Proxy(options, self.reloading)

    def port(self, label: str = "normal") -> int:
        return miner_port(self.proxy, label)

    async def reload(self, *pools: PoolOptions, **changes: Any) -> ReloadOutcome:
        """Takes over these pools; none given: the ones that there are."""
        self.options = self.file = replace(self.options, pools=pools or self.options.pools, **changes)
        return await self.ask()

    async def ask(self) -> ReloadOutcome:
        assert self.proxy.reloader is not None
        return await self.proxy.reloader.reload("signal")

    def metric(self, name: str, **labels: str) -> float | None:
        return self.proxy.registry.get_sample_value(name, labels)

    def _load(self) -> ProxyOptions:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file


@pytest.fixture
def reloadable(tmp_path: Path) -> Reload:
    """Starts one with these pools; a context manager."""

    @asynccontextmanager
    async def start(*pools: PoolOptions, **more: Any) -> AsyncIterator[Reloadable]:
        patience = more.pop("patience", QUICK)
        one = Reloadable(proxy_options(tmp_path / "spool", 1, pools=pools, patience=patience, **more))
        async with one.proxy:
            yield one

    return start


@pytest.fixture
async def second() -> AsyncIterator[ScriptedPool]:
    async with ScriptedPool(replace(SECOND)) as scripted:
        yield scripted


def at(pool: ScriptedPool, name: str = "normal", **more: Any) -> PoolOptions:
    return PoolOptions(name, more.pop("listen_port", 0), "127.0.0.1", pool.port, more.pop("user", "wallet"), **more)


def is_seconds(job: Job) -> bool:
    return b"\x5e\xc0\xdd\x00" in job.coinbase1


async def refused(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_miners_move_to_the_new_pool_and_late_shares_go_to_the_old(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        old = await miner.start()
        assert (await miner.submit(old))["result"] is True
        outcome = await one.reload(at(second))
        assert outcome.applied
        assert outcome.changed_pools == ("normal",)
        new = await miner.job()
        assert is_seconds(new)
        assert new.clean_jobs
        assert (await miner.submit(new))["result"] is True
        assert len((await second.connection()).params("mining.submit")) == 1
        # The old connection takes what is late.
        assert (await miner.submit(old, start=1 << 20))["result"] is True
        assert len(pool.connections[0].params("mining.submit")) == 2
        assert len(second.connections[0].params("mining.submit")) == 1
        assert (len(pool.connections), len(second.connections)) == (1, 1)
        assert one.metric("sharehouse_pool_in_use", pool_label="normal", pool=f"127.0.0.1:{second.port}") == 1
        assert one.metric("sharehouse_reloads_total", result="applied") == 1


async def test_miners_that_share_a_connection_move_together(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    async with (
        reloadable(at(pool), mode="shared") as one,
        TalkingMiner(one.port()) as here,
        TalkingMiner(one.port()) as there,
    ):
        old = await here.start()
        await there.start()
        assert (await one.reload(at(second, mode="shared"))).changed_pools == ("normal",)
        for miner in (here, there):
            while not is_seconds(new := await miner.job()):
                pass
            assert (await miner.submit(new))["result"] is True
        assert (await here.submit(old))["result"] is True
        assert (len(pool.connections), len(second.connections)) == (1, 1)
        # Who comes after a change of mode has it; who was there keeps what it had.
        await one.reload(at(second))
        async with TalkingMiner(one.port()) as alone:
            await alone.start()
        assert len(second.connections) == 2
        assert (await there.submit(new, start=1 << 20))["result"] is True


async def test_while_the_new_pool_has_no_job_miners_mine_on_at_the_old(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    second.script.job = None
    patience = replace(QUICK, late_seconds=0.1)
    async with reloadable(at(pool), patience=patience) as one, TalkingMiner(one.port()) as miner:
        old = await miner.start()
        await one.reload(at(second))
        upstream = await second.connection()
        await upstream.called("mining.authorize")
        await upstream.settled()
        await asyncio.sleep(0.3)
        assert (await miner.submit(old))["result"] is True
        upstream.notify(make_job("second", prevhash=2))
        new = await miner.job()
        assert is_seconds(new)
        assert (await miner.submit(new))["result"] is True


async def test_the_old_connection_ends_after_a_while(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    patience = replace(QUICK, late_seconds=0.2)
    async with reloadable(at(pool), patience=patience) as one, TalkingMiner(one.port()) as miner:
        old = await miner.start()
        await one.reload(at(second))
        new = await miner.job()
        await until(lambda: len(one.proxy.listeners["normal"].pool.upstreams) == 1)
        assert (await miner.submit(old))["error"][0] == 21
        assert (await miner.submit(new))["result"] is True


async def test_a_pool_that_did_not_change_notices_nothing(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    async with (
        ScriptedPool() as high,
        reloadable(at(pool), at(high, "high")) as one,
        TalkingMiner(one.port()) as moved,
        TalkingMiner(one.port("high")) as stays,
    ):
        await moved.start()
        job = await stays.start()
        assert (await one.reload(at(second), at(high, "high"))).changed_pools == ("normal",)
        assert is_seconds(await moved.job())
        assert (await stays.submit(job))["result"] is True
        assert len(high.connections) == 1
        assert len(high.connections[0].params("mining.submit")) == 1
        assert not [message for message in stays.log if message.get("method") == "mining.notify"]
        assert (await one.reload()).changed_pools == ()
        assert (len(high.connections), len(second.connections)) == (1, 1)


async def test_another_user_is_another_connection_to_the_same_pool(reloadable: Reload, pool: ScriptedPool) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        await miner.start()
        await one.reload(at(pool, user="other-wallet"))
        assert (await miner.submit(await miner.job()))["result"] is True
        connection = await pool.connection(1)
        assert connection.params("mining.authorize")[0][0] == "other-wallet"
        assert connection.params("mining.submit")[0][0] == "other-wallet"


async def test_what_cannot_stand_changes_nothing_and_says_why(
    reloadable: Reload, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job = await miner.start()
        one.file = ConfigurationRefused("config.toml: pools.normal.host: missing")
        outcome = await one.ask()
        assert not outcome.applied
        assert outcome.note == "config.toml: pools.normal.host: missing"
        assert "pools.normal.host: missing" in capsys.readouterr().out
        assert one.metric("sharehouse_configuration_refused") == 1
        one.file = RuntimeError("a secret of ours")
        assert "secret" not in (await one.ask()).note
        assert one.metric("sharehouse_reloads_total", result="refused") == 2
        assert (await miner.submit(job))["result"] is True
        assert len(pool.connections) == 1
        assert (await one.reload()).applied
        assert one.metric("sharehouse_configuration_refused") == 0


async def test_a_port_that_is_taken_refuses_the_whole_file(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job = await miner.start()
        free = unused_port()
        outcome = await one.reload(
            at(second), at(pool, "added", listen_port=free), at(pool, "taken", listen_port=second.port)
        )
        assert not outcome.applied
        assert f"pool taken cannot listen on 127.0.0.1:{second.port}" in outcome.note
        await refused(free)
        assert (await miner.submit(job))["result"] is True
        assert second.connections == []
        assert list(one.proxy.listeners) == ["normal"]


async def test_pools_come_and_go(reloadable: Reload, pool: ScriptedPool, second: ScriptedPool) -> None:
    async with reloadable(at(pool), at(pool, "old")) as one, TalkingMiner(one.port()) as stays:
        job, gone = await stays.start(), one.port("old")
        async with TalkingMiner(gone) as leaves:
            await leaves.start()
            assert (await one.reload(at(pool), at(second, "new"))).changed_pools == ("new", "old")
            assert await leaves.told("client.show_message") == ["pool old was removed from the proxy's configuration"]
            await leaves.closed()
        await refused(gone)
        async with TalkingMiner(one.port("new")) as comes:
            assert is_seconds(await comes.start())
        assert (await stays.submit(job))["result"] is True
        assert one.metric("sharehouse_pool_in_use", pool_label="old", pool=f"127.0.0.1:{pool.port}") is None
        assert one.metric("sharehouse_miner_connections_closed_total", pool_label="old", reason="pool removed") == 1


async def test_a_removed_pool_still_answers_what_is_under_way(reloadable: Reload, pool: ScriptedPool) -> None:
    pool.script.ignored = frozenset({"mining.submit"})
    async with (
        ScriptedPool() as other,
        reloadable(at(other), at(pool, "old"), drain_seconds=8.0) as one,
        TalkingMiner(one.port("old")) as miner,
    ):
        job = await miner.start()
        share = miner.send("mining.submit", miner.share(job))
        connection = await pool.connection()
        await connection.called("mining.submit")
        await one.reload(at(other))
        await miner.told("client.show_message")
        number = connection.requests[-1]["id"]
        connection.send({"id": number, "result": True, "error": None})
        assert (await miner.answer(share))["result"] is True
        await miner.closed()


async def test_a_stop_does_not_wait_twice_for_a_removed_pool(reloadable: Reload, pool: ScriptedPool) -> None:
    pool.script.ignored = frozenset({"mining.submit"})
    async with reloadable(at(pool, "stays"), at(pool, "old"), drain_seconds=1.0) as one:
        miner = TalkingMiner(one.port("old"))
        await miner.__aenter__()
        share = miner.send("mining.submit", miner.share(await miner.start()))
        await (await pool.connection()).called("mining.submit")
        await one.reload(at(pool, "stays"))
        leaving = one.proxy.spool
    # No verdict came; that was told, and kept, before the spool was closed.
    assert (await miner.answer(share))["error"][0] == 20
    await miner.closed()
    await miner.__aexit__()
    assert leaving.unrecorded_shares == 0


async def test_another_port_takes_newcomers_and_who_is_connected_stays(reloadable: Reload, pool: ScriptedPool) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job, left, taken = await miner.start(), one.port(), unused_port()
        assert (await one.reload(at(pool, listen_port=taken))).changed_pools == ("normal",)
        await refused(left)
        async with TalkingMiner(taken) as newcomer:
            await newcomer.start()
        assert (await miner.submit(job))["result"] is True
        assert len(pool.connections) <= 2


async def test_two_pools_may_change_places(reloadable: Reload, pool: ScriptedPool, second: ScriptedPool) -> None:
    one_port, other_port = unused_port(), unused_port()
    first = at(pool, "one", listen_port=one_port), at(second, "other", listen_port=other_port)
    async with reloadable(*first) as one, TalkingMiner(one_port) as miner:
        job = await miner.start()
        swapped = at(pool, "one", listen_port=other_port), at(second, "other", listen_port=one_port)
        assert (await one.reload(*swapped)).applied
        assert (await miner.submit(job))["result"] is True
        async with TalkingMiner(one_port) as here, TalkingMiner(other_port) as there:
            assert is_seconds(await here.start())
            assert not is_seconds(await there.start())
        # A port may also pass from a pool that goes to one that comes.
        assert (await one.reload(swapped[0], at(second, "third", listen_port=one_port))).applied
        async with TalkingMiner(one_port) as here:
            assert is_seconds(await here.start())
        assert set(one.proxy.listeners) == {"one", "third"}


async def test_limits_hold_for_newcomers(reloadable: Reload, pool: ScriptedPool) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job = await miner.start()
        assert (await one.reload(limits=Limits(connections=1))).changed_pools == ()
        async with TalkingMiner(one.port()) as newcomer:
            assert "too many connections" in (await newcomer.read())["error"][1]
        assert (await miner.submit(job))["result"] is True
        await one.reload(limits=Limits())
        async with TalkingMiner(one.port()) as newcomer:
            await newcomer.start()
        assert len(pool.connections) == 2


async def test_fallbacks_come_and_go_without_a_move(
    reloadable: Reload, pool: ScriptedPool, second: ScriptedPool
) -> None:
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job = await miner.start()
        (fallback,) = at(second).endpoints
        assert (await one.reload(at(pool, fallbacks=(fallback,)))).changed_pools == ("normal",)
        assert (await miner.submit(job))["result"] is True
        assert len(pool.connections) == 1
        pool.close()
        assert is_seconds(await miner.job())


async def test_miners_stay_where_they_are_until_the_new_pool_has_work(reloadable: Reload, pool: ScriptedPool) -> None:
    port = unused_port()
    async with reloadable(at(pool)) as one, TalkingMiner(one.port()) as miner:
        job = await miner.start()
        await one.reload(PoolOptions("normal", 0, "127.0.0.1", port, "wallet"))
        await until(lambda: (one.metric("sharehouse_upstreams_lost_total", pool_label="normal") or 0) >= 2)
        assert (await miner.submit(job))["result"] is True
        async with ScriptedPool(replace(SECOND), port=port):
            assert is_seconds(await miner.job())


async def test_who_waits_for_a_pool_is_served_by_the_new_one_at_once(reloadable: Reload, second: ScriptedPool) -> None:
    patience = replace(QUICK, first_pause_seconds=3600.0, longest_pause_seconds=3600.0)
    dead = PoolOptions("normal", 0, "127.0.0.1", unused_port(), "wallet")
    async with reloadable(dead, patience=patience) as one, TalkingMiner(one.port()) as miner:
        starting = asyncio.create_task(miner.start())
        await until(lambda: one.metric("sharehouse_upstreams_lost_total", pool_label="normal") == 1)
        await one.reload(at(second))
        assert is_seconds(await starting)


async def test_what_waits_for_a_restart_is_told(reloadable: Reload, pool: ScriptedPool) -> None:
    async with reloadable(at(pool)) as one:
        outcome = await one.reload(spool_max_bytes=1 << 30)
        assert outcome.applied
        assert outcome.note == "takes effect at the next start: SPOOL_MAX_BYTES"


async def test_what_is_asked_for_in_quick_succession_is_done(
    reloadable: Reload, pool: ScriptedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    async with reloadable(at(pool)) as one:
        for cause in ("signal", "file", "signal"):
            one.reloading.ask(cause)
        await until(lambda: one.metric("sharehouse_reloads_total", result="applied") == 2)
    log = capsys.readouterr().out
    assert len(re.findall(r"reload +.*cause=signal", log)) == len(re.findall(r"reload +.*cause=file", log)) == 1
