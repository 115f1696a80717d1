"""kill -9 of each process in turn under load: nothing that a miner read as accepted is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from services.tests.end_to_end.ledger_miner import Ledger, ledger_miners
from services.tests.end_to_end.stack import Stack, eventually, ports_of_a_stack, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

SERVICES = ("clickhouse", "proxy", "demo-pool", "api", "dashboard", "miner")
CONNECTIONS = 8


async def test_each_process_killed_in_turn(tmp_path: Path) -> None:
    ports = ports_of_a_stack()
    ledger = Ledger()
    with running(tmp_path / "data", ports) as stack:
        await asyncio.to_thread(
            eventually, lambda: stack.answers("API_PORT", "/health"), within_seconds=90, what="the API answers"
        )
        async with ledger_miners([ports["PROXY_PORT"], ports["PROXY_PORT_HIGH"]] * (CONNECTIONS // 2), ledger):
            for service in SERVICES:
                await _accepted_grows(ledger, by=10)
                killed = stack.service_pid(service)
                stack.kill(service)
                await asyncio.to_thread(
                    eventually,
                    lambda service=service, killed=killed: stack.service_pid(service) != killed,
                    within_seconds=60,
                    what=f"{service} was started again",
                )
            await _accepted_grows(ledger, by=10)
        await _all_stored_once(stack, ledger)
        for port, path in (("API_PORT", "/health"), ("DASHBOARD_PORT", "/")):
            assert stack.answers(port, path)


async def test_the_supervisor_killed(tmp_path: Path) -> None:
    """Its services end by themselves, and the next one starts where it left off."""
    ports, ledger = ports_of_a_stack(), Ledger()
    with contextlib.ExitStack() as runs:
        async with ledger_miners([ports["PROXY_PORT"], ports["PROXY_PORT_HIGH"]] * (CONNECTIONS // 2), ledger):
            stack = runs.enter_context(running(tmp_path / "data", ports))
            await _accepted_grows(ledger, by=20)
            services = stack.service_pids()
            assert len(services) == len(SERVICES)
            stack.process.kill()
            stack.process.wait()
            again = runs.enter_context(running(tmp_path / "data", ports))
            await asyncio.to_thread(
                eventually,
                lambda: not any(map(_lives, services)),
                within_seconds=60,
                what="the services of the killed supervisor ended",
            )
            await _accepted_grows(ledger, by=20)
        await _all_stored_once(again, ledger)
        assert "waiting for its services to end" in again.log


async def _all_stored_once(stack: Stack, ledger: Ledger) -> None:
    """Once the load has ended."""
    with stack.miner_held():
        await asyncio.to_thread(
            eventually,
            lambda: ledger.accepted <= set(stack.accepted_hashes()),
            within_seconds=60,
            what="all that miners read as accepted is stored",
        )
        await asyncio.sleep(3)
        _nothing_lost_nothing_doubled(stack, ledger)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _accepted_grows(ledger: Ledger, *, by: int) -> None:
    wanted = len(ledger.accepted) + by
    await asyncio.to_thread(
        eventually, lambda: len(ledger.accepted) >= wanted, within_seconds=90, what=f"{by} more shares accepted"
    )


def _nothing_lost_nothing_doubled(stack: Stack, ledger: Ledger) -> None:
    stored, log = stack.accepted_hashes(), stack.pool_log()
    assert len(stored) == len(set(stored)), "a share is stored twice"
    assert len(log) == len(set(log)), "the pool accepted a share twice"
    assert ledger.accepted <= set(stored) <= set(log)
    ours = {
        row[0]
        for row in stack.rows("SELECT block_hash FROM shares WHERE worker LIKE 'ledger.%' AND verdict = 'accepted'")
    }
    in_flight = ledger.unanswered | {share for share, (code, _) in ledger.rejected.items() if code in (20, 21)}
    assert ours - ledger.accepted <= in_flight, (
        "a share is stored as accepted that its miner never sent, or read as refused"
    )
    for table in ("shares_10m", "shares_1h"):
        rolled_up = stack.rows(f"SELECT sum(accepted) FROM {table}")[0][0]
        assert rolled_up == len(stored), f"{table} differs from the raw table"
