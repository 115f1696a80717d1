from __future__ import annotations

import socket
import threading

import pytest

from services.command.mistake import Mistake
from services.command.ports import Listener, check, reachable_host


def _taken() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_free_ports_pass() -> None:
    with _taken() as one:
        port = one.getsockname()[1]
    check([Listener("api", "127.0.0.1", port, "API_PORT")])


def test_a_taken_port_is_named_with_its_setting() -> None:
    with _taken() as one, _taken() as two:
        ports = [taken.getsockname()[1] for taken in (one, two)]
        with pytest.raises(Mistake) as mistake:
            check(
                [Listener("api", "127.0.0.1", ports[0], "API_PORT"), Listener("page", "0.0.0.0", ports[1], "PAGE_PORT")]
            )
    remedy = "is in use by another program; stop that one, or choose another port with"
    assert mistake.value.problems == (
        f"port {ports[0]} on 127.0.0.1 (api) {remedy} API_PORT",
        f"port {ports[1]} on 0.0.0.0 (page) {remedy} PAGE_PORT",
    )


def test_one_port_for_two_services() -> None:
    with pytest.raises(Mistake, match="API_PORT and METRICS_PORT are both 18888"):
        check([Listener("api", "127.0.0.1", 18888, "API_PORT"), Listener("proxy", "0.0.0.0", 18888, "METRICS_PORT")])


def test_an_address_of_another_machine() -> None:
    with pytest.raises(Mistake, match=r"192\.0\.2\.1 is no address of this machine"):
        check([Listener("clickhouse", "192.0.2.1", 8123, "CLICKHOUSE_PORT")])


def test_a_port_that_becomes_free_in_time() -> None:
    taken = _taken()
    listener = Listener("api", "127.0.0.1", taken.getsockname()[1], "API_PORT")
    release = threading.Timer(0.4, taken.close)
    release.start()
    check([listener], patience_seconds=600)
    release.join()


def test_a_wildcard_is_reached_on_loopback() -> None:
    assert [reachable_host(host) for host in ("0.0.0.0", "::", "10.1.2.3")] == ["127.0.0.1", "::1", "10.1.2.3"]
