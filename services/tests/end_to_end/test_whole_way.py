"""Real shares go the whole way: miner, proxy, pool, store, API, dashboard; and again after a stop and a start."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from typing import TYPE_CHECKING

import pytest

from services.stratum.difficulty import actual_difficulty, target_of
from services.stratum.header import display, merkle_root, sha256d
from services.tests.end_to_end.ledger_miner import Ledger, ledger_miners
from services.tests.end_to_end.stack import Stack, eventually, ports_of_a_stack, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(240)]


async def test_from_miner_to_page_and_again_after_a_restart(tmp_path: Path) -> None:
    data, ports = tmp_path / "data", ports_of_a_stack()
    ledger = Ledger()
    with running(data, ports) as stack:
        await asyncio.to_thread(_first_shares_show_everywhere, stack)
        await _mine(stack, ledger)
        await asyncio.to_thread(_all_agree, stack)
        assert await asyncio.to_thread(stack.stop) == 0
    first = set(stack.pool_log())
    assert len(first) > 20
    with running(data, ports) as stack:
        await asyncio.to_thread(eventually, lambda: _mined_on(stack, first), within_seconds=90, what="new shares")
        await _mine(stack, ledger)
        await asyncio.to_thread(_all_agree, stack)
        assert _pools(stack) == {"normal", "high_diff"}
        assert await asyncio.to_thread(stack.stop) == 0
    assert ledger.accepted <= set(stack.pool_log())
    assert [line for line in stack.log.splitlines() if not re.match(r"[a-z-]+ +\| ", line)] == []
    readable = [path for path in (data, *data.rglob("*")) if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert readable == [], "what others may read"
    assert not ledger.rejected or {code for code, _ in ledger.rejected.values()} <= {21}, ledger.rejected


async def _mine(stack: Stack, ledger: Ledger) -> None:
    """Until miners read 20 more shares as accepted, and the store has some of both pools."""
    wanted = len(ledger.accepted) + 20
    async with ledger_miners([stack.ports["PROXY_PORT"], stack.ports["PROXY_PORT_HIGH"]], ledger):
        await asyncio.to_thread(
            eventually,
            lambda: len(ledger.accepted) >= wanted and _pools(stack) == {"normal", "high_diff"},
            within_seconds=90,
            what="shares from miners on both ports",
        )


def _pools(stack: Stack) -> set[str]:
    return {row[0] for row in stack.rows("SELECT DISTINCT pool_label FROM shares")}


def _first_shares_show_everywhere(stack: Stack) -> None:
    eventually(lambda: stack.answers("API_PORT", "/health"), within_seconds=60, what="the API answers")
    # On an idle machine it takes seconds; the demo's miner gets only the time that others leave.
    eventually(lambda: stack.accepted_hashes(), within_seconds=90, what="accepted shares in the store")
    eventually(lambda: _shares_by_api(stack) > 0, within_seconds=60, what="accepted shares by the API")
    eventually(lambda: stack.answers("DASHBOARD_PORT", "/"), within_seconds=60, what="the dashboard answers")
    worker = stack.rows("SELECT worker FROM shares WHERE verdict = 'accepted' LIMIT 1")[0][0]
    eventually(lambda: worker in _page(stack), within_seconds=60, what=f"worker {worker} on the dashboard")
    eventually(lambda: "accepted" in stack.log, within_seconds=60, what="accepted shares in the terminal")


def _page(stack: Stack) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['DASHBOARD_PORT']}/", timeout=5) as page:
        return str(page.read().decode())


def _shares_by_api(stack: Stack) -> int:
    workers = stack.api("/api/workers/stats")["btc"]["workers"]
    by_worker = sum(worker["shares_24h"] for worker in workers.values())
    by_pool = stack.api("/api/pool/stats")["btc"]["shares_24h"]
    return int(by_worker) if by_worker == by_pool else -1


def _mined_on(stack: Stack, before: set[str]) -> bool:
    return bool(set(stack.accepted_hashes()) - before)


def _all_agree(stack: Stack) -> None:
    """With the miner held still: pool log = store = API, as sets of hashes and as a number; rows prove themselves."""
    with stack.miner_held():
        eventually(lambda: _agree(stack), within_seconds=60, what="pool log = store = API")
        _every_row_proves_itself(stack)


def _agree(stack: Stack) -> bool:
    stored, log = stack.accepted_hashes(), stack.pool_log()
    assert len(stored) == len(set(stored)), "a share is stored twice"
    assert len(log) == len(set(log)), "the pool accepted a share twice"
    return set(stored) == set(log) and _shares_by_api(stack) == len(log)


def _every_row_proves_itself(stack: Stack) -> None:
    rows = stack.rows(
        "SELECT hex(header), block_hash, actual_difficulty, pool_difficulty,"
        " hex(concat(coinbase1, extranonce1, extranonce2, coinbase2)), arrayMap(hash -> hex(hash), merkle_branch)"
        " FROM shares"
        " INNER JOIN (SELECT DISTINCT job, coinbase1, coinbase2, merkle_branch FROM jobs) AS jobs USING (job)"
        " WHERE verdict = 'accepted'"
    )
    assert len(rows) == len(stack.accepted_hashes())
    for header, stored_hash, difficulty, credited, coinbase, branch in rows:
        block_hash = sha256d(bytes.fromhex(header))
        assert display(block_hash) == stored_hash
        assert difficulty == pytest.approx(actual_difficulty(block_hash), rel=1e-12)
        assert int.from_bytes(block_hash, "little") <= target_of(credited)
        root = merkle_root(bytes.fromhex(coinbase), tuple(map(bytes.fromhex, branch)))
        assert root == bytes.fromhex(header)[36:68]
