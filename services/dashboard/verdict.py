"""The page's first line: whether all is well, in words; and if not, what is wrong, since when, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from services.dashboard import quantities
from services.dashboard.proxy_faults import proxy_fault
from services.dashboard.quantities import plural
from services.warehouse.queries import OK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.dashboard.figures import Figures
    from services.dashboard.miners import Miner
    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.queries import MinerTotals, Trouble

State = Literal["good", "warning", "empty", "away"]

_RECENTLY_SECONDS = 3600
_MANY_REFUSED = 0.05
_ENOUGH_TO_JUDGE = 50
_NAMES_SHOWN = 3
_UNKNOWN_TABLE = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """A state for the colour and the shape, a sentence, advice (may be empty), and how the page stands to the data."""

    state: State
    sentence: str
    advice: str = ""
    link: str = "Live"


@dataclass(frozen=True, slots=True)
class Outage:
    """Since when (unix seconds) the database gives no figures, and how it fails.

    `code` is ClickHouse's error, `reason` what it waits for before it is open.
    """

    since: float
    trouble: Trouble
    code: int | None
    reason: str = ""


def verdict(figures: Figures | None) -> Verdict:
    """Judge what the last look gave."""
    if figures is None:
        return Verdict("empty", "Nothing is known yet.")
    if fault := proxy_fault(figures.proxies, figures.at):
        return Verdict("warning", *fault)
    if not figures.miners:
        return _nobody(figures)
    totals = figures.totals
    if not figures.active:
        return _none_active(figures)
    if not figures.connections:
        return Verdict("warning", "No miner is connected.", _last_share(int(totals.last_share), figures.at))
    submitted = totals.rejected + totals.accepted
    if totals.rejected > _MANY_REFUSED * submitted and submitted >= _ENOUGH_TO_JUDGE:
        return _many_refused(totals)
    running = ", ".join(
        (
            plural(figures.connections, "miner"),
            plural(figures.pools, "pool"),
            quantities.hash_rate(totals.hash_rate_5m),
        )
    )
    silent = [miner for miner in figures.miners if _fell_silent(miner, figures.at)]
    if silent:
        return _some_silent(silent, running)
    return Verdict("good", f"All is well: {running}.")


def outage_verdict(outage: Outage, figures: Figures | None, clickhouse: ClickHouseAddress) -> Verdict:
    """What to say while the database gives none; `figures` are the last that it gave."""
    since = quantities.utc(outage.since)
    shown = f" The figures below are from {quantities.utc(figures.at)}." if figures is not None else ""
    safe = f"Miners go on: what the database does not take waits in the proxy's spool.{shown}"
    place = f"http://{clickhouse.host}:{clickhouse.port}"
    if outage.trouble == "slow":
        return Verdict(
            "away",
            f"The database has been too slow for this page since {since}.",
            f"{safe} ClickHouse at {place} takes questions and does not answer in time: check the load of its machine.",
            "Database too slow",
        )
    if outage.trouble == "opening":
        return Verdict(
            "away",
            f"The database has been opening since {since}.",
            f"{safe} ClickHouse at {place} is opening: {outage.reason}.",
            "Database opening",
        )
    if outage.trouble == "refused":
        remedy = "sharehouse db migrate makes its tables." if outage.code == _UNKNOWN_TABLE else "The log says why."
        return Verdict(
            "away",
            f"The database has refused this page's questions since {since}.",
            f"{safe} ClickHouse at {place} answers with its error {outage.code}. {remedy}",
            "Database refuses",
        )
    return Verdict(
        "away",
        f"The database is away since {since}.",
        f"{safe} Check that ClickHouse answers at {place}/ping.",
        "Database away",
    )


def _nobody(figures: Figures) -> Verdict:
    if figures.proxies:
        return Verdict("empty", "Ready, and no miner yet.", "No share has come in the last 24 hours.")
    return Verdict(
        "empty",
        "No miner yet, and no proxy.",
        "No proxy told of itself in the last 24 hours. Start one: sharehouse proxy, or all of it with sharehouse up.",
    )


def _none_active(figures: Figures) -> Verdict:
    waiting = [miner for miner in figures.miners if miner.state == "waiting"]
    if waiting and not figures.totals.accepted + figures.totals.rejected:
        return Verdict("good", f"Ready: {plural(figures.connections, 'miner')} connected, and no share yet.")
    return Verdict(
        "warning",
        "No miner has had a share accepted for 10 minutes.",
        f"{_last_share(int(figures.totals.last_share), figures.at)} Connected: {figures.connections}.",
    )


def _last_share(last: int, at: int) -> str:
    if not last:
        return "In the last 24 hours, none was accepted."
    return f"The last one came {quantities.duration(at - last)} ago, at {quantities.utc(last)}."


def _many_refused(totals: MinerTotals) -> Verdict:
    share = quantities.percent(totals.rejected, totals.rejected + totals.accepted)
    reason = max(totals.rejected_by_reason, key=lambda reason: totals.rejected_by_reason[reason])
    return Verdict(
        "warning",
        f"{share} of the shares of the last 24 hours were refused.",
        f"Most often: {reason.replace('_', ' ')} ({quantities.count(totals.rejected_by_reason[reason])}"
        f" of {quantities.count(totals.rejected)}). The table below says whose.",
    )


def _fell_silent(miner: Miner, at: int) -> bool:
    """Lately, or while it stays connected."""
    if miner.state in ("active", "waiting") or miner.last_share > at - OK_SECONDS:
        return False
    return miner.state == "silent" or at - miner.last_share < _RECENTLY_SECONDS


def _some_silent(silent: Sequence[Miner], running: str) -> Verdict:
    names = ", ".join(miner.worker or "one without a name" for miner in silent[:_NAMES_SHOWN])
    more = f" and {len(silent) - _NAMES_SHOWN} more" if len(silent) > _NAMES_SHOWN else ""
    return Verdict(
        "warning",
        f"{plural(len(silent), 'miner')} fell silent: {names}{more}.",
        f"No accepted share for 10 minutes. Otherwise all is well: {running}.",
    )
