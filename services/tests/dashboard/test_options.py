from __future__ import annotations

import pytest

from services.dashboard.connect import stratum_lines
from services.dashboard.guard import host_name
from services.dashboard.options import DashboardOptionError, DashboardOptions, StratumEndpoint, is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "a.localhost", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_loopback_hosts_need_no_password(host: str) -> None:
    assert is_loopback(host)
    assert DashboardOptions(host=host).password == ""


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", "127.0.0.1.nip.io"]
)
def test_other_hosts_are_refused_without_a_password(host: str) -> None:
    with pytest.raises(DashboardOptionError, match="set DASHBOARD_PASSWORD"):
        DashboardOptions(host=host)
    assert "secret" not in repr(DashboardOptions(host=host, password="secret"))


@pytest.mark.parametrize(
    ("header", "name"),
    [("localhost:5000", "localhost"), ("[::1]:5000", "::1"), ("10.0.0.1", "10.0.0.1"), ("", ""), ("[::1", "::1")],
)
def test_a_host_header_gives_its_name(header: str, name: str) -> None:
    assert host_name(header) == name


def test_the_stratum_line_names_what_a_miner_can_reach() -> None:
    everywhere = (StratumEndpoint("normal", "0.0.0.0", 3331), StratumEndpoint("high_diff", "::", 3332))
    lines, note = stratum_lines(everywhere, "rig.example.org")
    assert [line.url for line in lines] == ["stratum+tcp://rig.example.org:3331", "stratum+tcp://rig.example.org:3332"]
    assert note == ""
    lines, _ = stratum_lines(everywhere, "2001:db8::5")
    assert lines[0].url == "stratum+tcp://[2001:db8::5]:3331"
    lines, _ = stratum_lines(everywhere, "localhost")
    assert "0.0.0.0" not in lines[0].url


def test_a_proxy_on_loopback_says_how_to_open_it() -> None:
    lines, note = stratum_lines((StratumEndpoint("normal", "127.0.0.1", 3331),), "localhost")
    assert lines[0].url == "stratum+tcp://127.0.0.1:3331"
    assert "PROXY_HOST=0.0.0.0" in note
