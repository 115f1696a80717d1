"""Clients that take their answers slowly, or not to the end, on a server with few places."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest

from services.tests.conftest import PASSWORD, ClickHouseProcess, unused_port
from services.tests.warehouse.embedded.conftest import Http, ask
from services.warehouse.embedded.options import EmbeddedOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

PLACES = 2
ENDLESS = "SELECT number FROM numbers(10000000000) FORMAT RowBinary"


def _server(folder: Path) -> ClickHouseProcess:
    """Patience is short; who stalls wholly would stay for long."""
    options = EmbeddedOptions(
        data=folder,
        port=unused_port(),
        password=PASSWORD,
        max_reads=PLACES,
        stalled_seconds=600,
        patience_seconds=0.5,
    )
    server = ClickHouseProcess(options)
    server.start()
    return server


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    server = _server(tmp_path_factory.mktemp("slow-readers"))
    yield Http(server.address)
    server.kill()


def _sip(peer: socket.socket, stop: threading.Event) -> None:
    """Take little by little, until dropped."""
    with contextlib.suppress(OSError):
        while not stop.is_set() and peer.recv(4096):
            time.sleep(0.02)


def test_readers_that_take_little_by_little_make_room(http: Http) -> None:
    stop = threading.Event()
    peers = [ask(http, ENDLESS) for _ in range(PLACES)]
    for peer in peers:
        assert peer.recv(12) == b"HTTP/1.1 200"
    threads = [threading.Thread(target=_sip, args=(peer, stop)) for peer in peers]
    for thread in threads:
        thread.start()
    try:
        assert http.value("SELECT 1") == "1"
        assert http.value("SELECT 1") == "1"
        # One of them at least has lost its place; this statement counts itself.
        assert int(http.value("SELECT count() FROM system.processes WHERE query LIKE '%10000000000%'")) <= PLACES
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for peer in peers:
            peer.close()


def test_a_slow_reader_stays_while_nobody_waits(http: Http) -> None:
    rows = 2_000_000
    peer = ask(http, f"SELECT number FROM numbers({rows}) FORMAT RowBinary")
    assert peer.recv(12) == b"HTTP/1.1 200"
    time.sleep(1.5)
    assert http.value("SELECT 1") == "1"
    taken = 12
    tail = b""
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        chunk = peer.recv(1 << 20)
        assert chunk
        taken += len(chunk)
        tail = (tail + chunk)[-16:]
    assert taken > rows * 8
    peer.close()


def test_a_client_that_leaves_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server = _server(tmp_path)  # one that writes to what this test reads
    http = Http(server.address)
    for statement in (
        ENDLESS,
        "SELECT sleepEachRow(1) FROM numbers(40) SETTINGS max_block_size = 1 FORMAT JSON",
        "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1 FORMAT JSON",
    ):
        peer = ask(http, statement)
        running = "SELECT count() FROM system.processes WHERE query LIKE '%000%' OR query LIKE '%sleepEachRow%'"
        while http.value(running) != "2":
            time.sleep(0.02)
        peer.close()
        while http.value(running) != "1":
            time.sleep(0.05)
    # Its place is free again, so what became of its statement has been told by now.
    assert [http.value("SELECT 1") for _ in range(PLACES * 2)] == ["1"] * PLACES * 2
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert "never retrieved" not in output
    server.kill()
