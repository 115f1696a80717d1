"""Peers that vanish without a word: no FIN, no reset, no acknowledgement, as after a power cut."""

from __future__ import annotations

import ctypes
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from services.proxy import keepalive
from services.tests.proxy.conftest import miner_port
from services.tests.proxy.scripted_pool import ScriptedPool, make_job
from services.tests.proxy.talking_miner import TalkingMiner
from services.tests.waiting import until

if TYPE_CHECKING:
    from asyncio import StreamWriter

    from services.tests.proxy.conftest import Started

SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)  # one instruction of the kernel's packet filter: return 0 bytes
QUICK = (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2), ("TCP_USER_TIMEOUT", 2_000))


def vanish(writer: StreamWriter) -> None:
    """From now on the kernel drops whatever comes for this socket, acknowledgements and probes included."""
    code = ctypes.create_string_buffer(DROP_ALL, len(DROP_ALL))
    program = struct.pack("HL", 1, ctypes.addressof(code))
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "_OPTIONS", QUICK)


@pytest.mark.usefixtures("quick_probes")
async def test_miners_that_vanish_are_let_go_and_the_others_stay(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as other:
        connections = proxy.listeners["normal"].connections
        job = await other.start()
        async with TalkingMiner(miner_port(proxy)) as idle, TalkingMiner(miner_port(proxy)) as told:
            await idle.start()
            await told.start()
            vanish(idle.writer)
            vanish(told.writer)
            # One of them is silence, the other does not acknowledge what it was sent.
            (await pool.connection(2)).notify(make_job("more"))
            await until(lambda: len(connections) == 1)
            assert (await other.submit(job))["result"] is True


@pytest.mark.usefixtures("quick_probes")
async def test_a_pool_that_vanishes_is_dialled_anew(started: Started, pool: ScriptedPool) -> None:
    async with started(pool.port) as proxy, TalkingMiner(miner_port(proxy)) as miner:
        await miner.start()
        vanish((await pool.connection())._writer)
        assert (await miner.submit(await miner.job()))["result"] is True
        assert len((await pool.connection(1)).params("mining.submit")) == 1


async def test_a_peer_that_vanished_is_found_within_two_minutes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        keepalive.keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        first, between, times, unacknowledged_ms = (
            connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name, _ in keepalive._OPTIONS
        )
    assert first + between * times <= 120
    assert unacknowledged_ms == 120_000
