"""Who is let in, and who is banned: without sockets, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.proxy.conduct import PRICES, Conduct
from services.proxy.gate import Gate
from services.proxy.options import Limits
from services.proxy.pacing import MessageBudget
from services.proxy.worker_names import WorkerNames
from services.stratum.reject import POOL_REASONS, REJECTS


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_connections_of_an_address() -> None:
    gate = Gate(Limits(connections_per_address=2), CollectorRegistry(), Clock())
    for _ in range(2):
        assert gate.refusal("192.0.2.1") is None
        gate.enter("192.0.2.1")
    limit, why = gate.refusal("192.0.2.1") or ("", "")
    assert limit == "connections_per_address"
    assert "192.0.2.1" in why
    assert gate.refusal("192.0.2.2") is None
    gate.leave("192.0.2.1")
    assert gate.refusal("192.0.2.1") is None


def test_an_ipv6_host_counts_with_its_network_and_a_mapped_one_as_itself() -> None:
    gate = Gate(Limits(connections_per_address=1), CollectorRegistry(), Clock())
    gate.enter("2001:db8:0:1::1")
    assert gate.refusal("2001:db8:0:1:ffff::2") is not None
    assert gate.refusal("2001:db8:0:2::1") is None
    gate.enter("::ffff:192.0.2.1")
    assert gate.refusal("192.0.2.1") is not None
    assert gate.refusal("::ffff:192.0.2.2") is None


def test_a_ban_ends_and_the_address_starts_anew() -> None:
    clock, registry = Clock(), CollectorRegistry()
    gate = Gate(Limits(invalid_shares=10, ban_seconds=60), registry, clock)
    conduct = gate.enter("192.0.2.1")
    for _ in range(10):
        conduct.refused("duplicate", clock())
    assert conduct.is_mostly_invalid(clock())
    assert gate.condemn("192.0.2.1")
    gate.leave("192.0.2.1")
    assert (gate.refusal("192.0.2.1") or ("",))[0] == "banned"
    assert registry.get_sample_value("sharehouse_miner_addresses_banned") == 1
    clock.now += 61
    assert gate.refusal("192.0.2.1") is None
    assert registry.get_sample_value("sharehouse_miner_addresses_banned") == 0
    conduct = gate.enter("192.0.2.1")
    for _ in range(5):
        conduct.refused("duplicate", clock())
    assert not conduct.is_mostly_invalid(clock())
    assert not gate.condemn("192.0.2.1")


def test_jobs_from_before_a_reconnect_weigh_less_than_what_is_wrong() -> None:
    clock = Clock()
    conduct = Gate(Limits(invalid_shares=10), CollectorRegistry(), clock).enter("192.0.2.1")
    for _ in range(30):
        conduct.refused("unknown_job", clock())
    assert not conduct.is_mostly_invalid(clock())


def test_one_broken_machine_does_not_ban_its_farm() -> None:
    clock = Clock()
    gate = Gate(Limits(invalid_shares=10), CollectorRegistry(), clock)
    good, broken = gate.enter("192.0.2.1"), gate.enter("192.0.2.1")
    for _ in range(20):
        good.accepted(clock())
    for _ in range(10):
        broken.refused("low_difficulty", clock())
    assert broken.is_mostly_invalid(clock())
    assert not gate.condemn("192.0.2.1")
    assert gate.refusal("192.0.2.1") is None


def test_old_shares_fade() -> None:
    clock = Clock()
    conduct = Conduct(Limits(invalid_shares=10, ban_window_seconds=300), clock())
    for _ in range(9):
        conduct.refused("duplicate", clock())
        clock.now += 300
    assert not conduct.is_mostly_invalid(clock())
    assert conduct.bad < 2


def test_no_pool_and_no_new_block_can_get_a_miner_banned() -> None:
    assert set(PRICES) - {"junk"} <= {reject.reason for reject in REJECTS}
    assert not {*POOL_REASONS, "stale", "upstream_gone", "no_verdict"} & set(PRICES)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1000))))
def test_what_is_held_against_a_peer_is_never_more_than_what_it_did(events: list[tuple[bool, float]]) -> None:
    clock = Clock()
    conduct = Conduct(Limits(), clock())
    for good, pause_seconds in events:
        clock.now += pause_seconds
        if good:
            conduct.accepted(clock())
        else:
            conduct.refused("duplicate", clock())
    assert 0 <= conduct.good <= sum(good for good, _ in events)
    assert 0 <= conduct.bad <= sum(not good for good, _ in events)


def test_new_names_are_counted_by_the_day() -> None:
    clock = Clock()
    clock.now = 86_400.0 * 20_000
    names = WorkerNames(3, clock)
    assert [names.take(name) for name in "abcd"] == [True, True, True, False]
    assert names.take("a")
    clock.now += 86_400
    assert [names.take(name) for name in "abcdefg"] == [True, True, True, True, True, True, False]
    clock.now += 3 * 86_400
    assert [names.take(name) for name in "abcd"] == [True, True, True, False]


def test_names_are_bounded_in_all() -> None:
    clock = Clock()
    names = WorkerNames(10, clock)
    for day in range(20):
        for number in range(10 * (day + 1)):
            names.take(f"w{number}")
        clock.now += 86_400
    assert len(names._today) + len(names._yesterday) <= 80


@given(st.lists(st.tuples(st.integers(0, 64), st.floats(0, 10)), min_size=1), st.floats(0.5, 1000))
def test_nobody_gets_more_messages_than_the_burst_and_the_rate(
    sent: list[tuple[int, float]], per_second: float
) -> None:
    now = 0.0
    budget = MessageBudget(per_second, now)
    taken = 0
    for messages, pause_seconds in sent:
        now += pause_seconds
        taken += messages
        now += budget.spend(messages, now)  # a peer that is not read for so long
        assert taken <= per_second * (10.0 + now) + 1e-6 * taken + 1e-6


@pytest.mark.parametrize("address", ["unknown", "fe80::1%eth0", ":::"])
def test_strange_addresses_are_addresses(address: str) -> None:
    gate = Gate(Limits(connections_per_address=1), CollectorRegistry(), Clock())
    gate.enter(address)
    assert gate.refusal(address) is not None
    gate.leave(address)
    assert gate.refusal(address) is None
