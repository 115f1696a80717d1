"""Whom a segment's rows are sent to: the one server there is, or the shard of a cluster that the segment belongs to."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from services.warehouse.client import Connection
from services.warehouse.cluster import shard_of

if TYPE_CHECKING:
    from uuid import UUID

    from clickhouse_connect.driver.asyncclient import AsyncClient

    from services.warehouse.address import ClickHouseAddress

_TOPOLOGY: Final = """\
SELECT shard_num, host_name FROM system.clusters WHERE cluster = {cluster:String} ORDER BY shard_num, replica_num"""


class UnknownClusterError(OSError):
    """The server knows no cluster of this name."""


class Shards:
    """Connections, made when first needed and kept. Which shards there are is asked once, of the server addressed."""

    def __init__(self, address: ClickHouseAddress, *, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._first = Connection(address, timeout_seconds=timeout_seconds)
        self._choosing = asyncio.Lock()
        self._replicas: dict[int, list[str]] = {}
        self._connections: dict[int, Connection] = {}

    async def client(self, segment: UUID) -> AsyncClient:
        """Of a server of the segment's shard. Raises UnknownClusterError, and what clickhouse-connect and aiohttp
        raise where none of its replicas can be reached.
        """
        if not self._address.cluster:
            return await self._first.client()
        async with self._choosing:
            if not self._replicas:
                self._replicas = await self._asked()
            shard = shard_of(segment, sorted(self._replicas))
            if shard in self._connections:
                return await self._connections[shard].client()
            return await self._connected(shard)

    async def failed(self) -> None:
        """Something went wrong: another replica may be better, and the next call looks for one."""
        connections = list(self._connections.values())
        self._connections.clear()
        for connection in connections:
            await connection.close()

    async def close(self) -> None:
        await self.failed()
        await self._first.close()

    async def _asked(self) -> dict[int, list[str]]:
        client = await self._first.client()
        found = await client.query(_TOPOLOGY, parameters={"cluster": self._address.cluster})
        replicas: dict[int, list[str]] = {}
        for shard, host in found.result_rows:
            replicas.setdefault(int(shard), []).append(str(host))
        if replicas:
            return replicas
        raise UnknownClusterError(f"ClickHouse at {self._address.host} knows no cluster {self._address.cluster}")

    async def _connected(self, shard: int) -> AsyncClient:
        hosts = self._replicas[shard]
        error: Exception | None = None
        for host in random.sample(hosts, len(hosts)):
            connection = Connection(replace(self._address, host=host), timeout_seconds=self._timeout_seconds)
            try:
                client = await connection.client()
            except (ClickHouseError, aiohttp.ClientError, OSError) as failure:
                await connection.close()
                # What answers with an error of ClickHouse's is there; another replica would say the same.
                if isinstance(failure, Error) and failure.code is not None:
                    raise
                error = failure
                continue
            self._connections[shard] = connection
            return client
        assert error is not None
        raise error
