"""The API's process: it starts without a database, and ends without cutting an answer short."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from services.api.options import ApiOptions
from services.api.server import serve
from services.tests.conftest import unused_port
from services.tests.serving import running
from services.warehouse.address import ClickHouseAddress


@pytest.mark.deadlines
async def test_it_serves_until_cancelled_and_answers_what_is_in_flight() -> None:
    # A database that takes connections and says nothing: the answer takes 2 s, and the stop comes meanwhile.
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    database = ClickHouseAddress(port=silent.getsockname()[1])
    port = unused_port()
    async with httpx.AsyncClient(timeout=10) as client:
        async with running(lambda: serve(ApiOptions(port=port, clickhouse=database, read_tokens=("t",))), port):
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/health"))
            asked, _ = await asyncio.get_running_loop().sock_accept(silent)
        assert (await asking).json()["database"] == "disconnected"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{port}/health")
    asked.close()
    silent.close()


async def test_a_port_in_use_is_named() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match=rf"the API cannot listen on 127.0.0.1:{port} .*: set API_PORT"):
        await serve(ApiOptions(port=port, read_tokens=("t",)))
    listener.close()
