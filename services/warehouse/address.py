from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

EVERYWHERE: Final = "_all"
"""Ends the name of the database whose tables read from every shard of a cluster."""


@dataclass(frozen=True, slots=True)
class ClickHouseAddress:
    """Where ClickHouse's HTTP interface is, and who asks; the same for the embedded server and clickhouse-server.

    `cluster` names the cluster that the server is one of; '' is a server by itself.
    """

    host: str = "127.0.0.1"
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "sharehouse"
    cluster: str = ""

    @property
    def everywhere(self) -> ClickHouseAddress:
        """The same, in the database that reads from every shard; a server by itself has one database."""
        return replace(self, database=self.database + EVERYWHERE) if self.cluster else self
