from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import sys
import threading
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.warehouse.address import ClickHouseAddress


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def exception_code(self) -> int:
        return int(self.headers.get("X-ClickHouse-Exception-Code", "0"))

    @property
    def summary(self) -> dict[str, str]:
        facts: dict[str, str] = json.loads(self.headers["X-ClickHouse-Summary"])
        return facts


@dataclass
class Http:
    """Plain requests, as curl would send them."""

    address: ClickHouseAddress
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self,
        method: str = "POST",
        body: bytes | str | None = None,
        parameters: dict[str, str] | None = None,
        *,
        path: str = "/",
        headers: dict[str, str] | None = None,
        authenticated: bool = True,
    ) -> Reply:
        query = dict(parameters or {})
        sent = dict(self.headers)
        if authenticated:
            sent |= {"X-ClickHouse-User": self.address.user, "X-ClickHouse-Key": self.address.password}
            query.setdefault("database", self.address.database)
        sent |= headers or {}
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=60)
        try:
            target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, target, data, sent)
            reply = connection.getresponse()
            return Reply(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def sql(self, statement: str | bytes, **query: str) -> Reply:
        return self.request("POST", statement, query)

    def get(self, statement: str, **query: str) -> Reply:
        return self.request("GET", None, {"query": statement, **query})

    def value(self, statement: str, **query: str) -> str:
        """The one value that a statement gives."""
        reply = self.sql(statement, **query)
        assert reply.status == 200, reply.text
        return reply.text.rstrip("\n")


@pytest.fixture
def http_client(database: ClickHouseAddress) -> Http:
    return Http(database)


def ask(http: Http, statement: str, **query: str) -> socket.socket:
    """A client that sends a statement and reads nothing."""
    address = http.address
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(60)
    peer.connect((address.host, address.port))
    body = statement.encode()
    peer.sendall(
        f"POST /?{urllib.parse.urlencode(query)} HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: {address.user}\r\n"
        f"X-ClickHouse-Key: {address.password}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return peer


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Listener:
    """A web server on this machine that answers `1` to anything, and counts who came."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                self.connections += 1
                peer.settimeout(2)
                try:
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n1\n")
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    yield server
    server.close()


BARE = """
import json, sys
from chdb.session import Session
session = Session(sys.argv[1])
session.query("CREATE DATABASE bare")
session.query("USE bare")
for statement in json.load(sys.stdin):
    try:
        result = session.query(statement, "TabSeparated")
        print(json.dumps(["", str(result)]))
    except Exception as error:
        print(json.dumps([str(error), ""]))
"""


def on_bare_engine(folder: str, statements: list[str]) -> list[tuple[str, str]]:
    """Run statements on an engine without this server around it: (error or '', output) of each."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, folder],
        input=json.dumps(statements).encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [(error, output) for error, output in map(json.loads, done.stdout.splitlines())]
