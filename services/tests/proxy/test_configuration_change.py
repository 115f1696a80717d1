"""What follows from a new configuration, before anything is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.proxy.configuration_change import change_between
from services.proxy.endpoint import PoolEndpoint
from services.proxy.options import Limits, PoolOptions, ProxyOptions, TlsOptions
from services.proxy.reloading import ConfigurationRefused
from services.warehouse.address import ClickHouseAddress

NORMAL = PoolOptions("normal", 3331, "a.pool", 3333, "wallet")
HIGH = PoolOptions("high_diff", 3332, "a.pool", 3334, "wallet")
TLS = TlsOptions(Path("chain.pem"), Path("key.pem"))
BEFORE = ProxyOptions("proxy", (NORMAL, HIGH), Path("spool"), ClickHouseAddress())


def test_the_same_configuration_changes_nothing() -> None:
    change = change_between(BEFORE, replace(BEFORE, pools=(HIGH, NORMAL)))
    assert not (change.added or change.removed or change.changed or change.new_ports)
    assert not (change.new_limits or change.after_restart or change.touched_pools)
    assert change.kept == (HIGH, NORMAL)


@pytest.mark.parametrize(
    "changed",
    [
        replace(NORMAL, host="b.pool"),
        replace(NORMAL, port=1),
        replace(NORMAL, user="{worker}"),
        replace(NORMAL, password="y"),
        replace(NORMAL, fallbacks=(PoolEndpoint("b.pool", 3333, "wallet"),)),
        replace(NORMAL, listen_port=3339),
    ],
)
def test_only_the_pool_that_differs_is_touched(changed: PoolOptions) -> None:
    change = change_between(BEFORE, replace(BEFORE, pools=(changed, HIGH)))
    assert change.touched_pools == ("normal",)
    assert change.changed == {"normal"}
    assert not (change.added or change.removed)
    assert change.new_ports == ({"normal": {False: 3339}} if changed.listen_port != 3331 else {})
    assert change.options.pools == (changed, HIGH)


def test_pools_come_and_go_by_their_names() -> None:
    renamed = replace(HIGH, name="low_diff")
    change = change_between(BEFORE, replace(BEFORE, pools=(NORMAL, renamed)))
    assert (change.added, change.removed, change.kept) == ((renamed,), ("high_diff",), (NORMAL,))
    assert change.touched_pools == ("high_diff", "low_diff")
    # The port passes from one to the other.
    assert change.new_ports == {"low_diff": {False: 3332}}


def test_limits_touch_no_pool() -> None:
    limits = Limits(connections=7)
    change = change_between(BEFORE, replace(BEFORE, limits=limits, silence_seconds=1.0))
    assert change.new_limits
    assert change.options.limits == limits
    assert change.options.silence_seconds == 1.0
    assert change.touched_pools == change.after_restart == ()


def test_what_waits_for_a_restart_is_told_and_not_taken() -> None:
    after = replace(BEFORE, host="::", spool_max_bytes=1, metrics_port=1, pools=(NORMAL,))
    change = change_between(BEFORE, after)
    assert change.after_restart == ("PROXY_HOST", "SPOOL_MAX_BYTES", "METRICS_PORT")
    assert change.options == replace(BEFORE, pools=(NORMAL,))
    # Told again as long as it differs.
    assert change_between(change.options, after).after_restart == change.after_restart


def test_every_option_is_either_taken_or_told() -> None:
    told = change_between(BEFORE, replace(BEFORE, trusted_proxies=("10.0.0.0/8",), tls=TLS)).after_restart
    assert told == ("[tls]", "TRUSTED_PROXIES")


def test_ports_for_tls_come_and_go() -> None:
    before = replace(BEFORE, tls=TLS)
    with_tls = replace(before, pools=(replace(NORMAL, tls_listen_port=3341), HIGH))
    assert change_between(before, with_tls).new_ports == {"normal": {True: 3341}}
    assert change_between(with_tls, before).new_ports == {"normal": {}}
    # Without a certificate from the start there is none now.
    with pytest.raises(ConfigurationRefused, match="needs a restart"):
        change_between(BEFORE, with_tls)
