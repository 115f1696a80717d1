"""The page's first line: whether all is well, in words; and if not, what is wrong, since when, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from services.dashboard import quantities
from services.dashboard.quantities import plural
from services.warehouse.queries import MinerTotals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.dashboard.miners import Miner
    from services.warehouse.address import ClickHouseAddress

State = Literal["good", "warning", "empty", "away"]

_RECENTLY_SECONDS = 3600
_MANY_REFUSED = 0.05
_ENOUGH_TO_JUDGE = 50
_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state for the colour and the shape, a sentence, and advice (may be empty)."""

    state: State
    sentence: str
    advice: str = ""


def verdict(
    miners: Sequence[Miner], at: int | None, away_since: float | None, clickhouse: ClickHouseAddress
) -> Verdict:
    """Judge `miners` as of `at`; `away_since` is when the database went away, if it is (both unix seconds)."""
    if away_since is not None:
        return _away(at, away_since, clickhouse)
    totals = MinerTotals.of(row for miner in miners for row in miner.connections)
    active = [miner for miner in miners if miner.ok]
    if not miners or at is None:
        return Verdict("empty", "Ready, and no miner yet.", "No share has come in the last 24 hours.")
    if not active:
        return _all_silent(int(totals.last_share), at)
    refused = totals.rejected / max(1, totals.rejected + totals.accepted)
    if refused > _MANY_REFUSED and totals.rejected + totals.accepted >= _ENOUGH_TO_JUDGE:
        return _many_refused(totals)
    pools = len({miner.pool_label for miner in active})
    running = f"{plural(len(active), 'miner')} on {plural(pools, 'pool')}, {quantities.hash_rate(totals.hash_rate_5m)}"
    silent = [m for m in miners if not m.ok and 0 < at - m.totals.last_share < _RECENTLY_SECONDS]
    if silent:
        return _some_silent(silent, running)
    return Verdict("good", f"All is well: {running}.")


def _away(at: int | None, since: float, clickhouse: ClickHouseAddress) -> Verdict:
    shown = f" The figures below are from {quantities.utc(at)}." if at is not None else ""
    return Verdict(
        "away",
        f"The database is away since {quantities.utc(since)}.",
        f"Miners go on: their shares wait in the proxy's spool and come in when it is back.{shown}"
        f" Check that ClickHouse answers at http://{clickhouse.host}:{clickhouse.port}/ping.",
    )


def _all_silent(last: int, at: int) -> Verdict:
    when = (
        f"the last one came {quantities.duration(at - last)} ago, at {quantities.utc(last)}"
        if last
        else "all were refused"
    )
    return Verdict(
        "warning",
        "No miner has had a share accepted for 10 minutes.",
        f"In the last 24 hours, {when}. Check that the proxy runs, and that miners reach it at the address below.",
    )


def _many_refused(totals: MinerTotals) -> Verdict:
    share = quantities.percent(totals.rejected, totals.rejected + totals.accepted)
    reason = max(totals.rejected_by_reason, key=lambda reason: totals.rejected_by_reason[reason])
    return Verdict(
        "warning",
        f"{share} of the shares of the last 24 hours were refused.",
        f"Most often: {reason.replace('_', ' ')} ({quantities.count(totals.rejected_by_reason[reason])}"
        f" of {quantities.count(totals.rejected)}). The table below says whose.",
    )


def _some_silent(silent: Sequence[Miner], running: str) -> Verdict:
    names = ", ".join(miner.worker for miner in silent[:_NAMES_SHOWN])
    more = f" and {len(silent) - _NAMES_SHOWN} more" if len(silent) > _NAMES_SHOWN else ""
    return Verdict(
        "warning",
        f"{plural(len(silent), 'miner')} fell silent in the last hour: {names}{more}.",
        f"Otherwise all is well: {running}.",
    )
