"""`sharehouse shares audit`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
from clickhouse_connect.driver.exceptions import ClickHouseError

from services.command import options
from services.command.database import sentence
from services.command.mistake import Mistake
from services.warehouse.audit import Audit, AuditResult, Scope
from services.warehouse.audit_record import record_audit
from services.warehouse.mismatch import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.command.configuration import Configuration
    from services.warehouse.audit import Finding, Progress

_TELL_AGAIN_SECONDS = 2.0
_STEPS = {"headers": "hashes and difficulties", "jobs": "merkle roots and jobs", "repeats": "repeated headers"}


class _Teller:
    """Says how far it is, every few seconds and at each step's end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        is_done = progress.done >= progress.total
        now = time.monotonic()
        if now < self._next and not is_done:
            return
        self._next = now + _TELL_AGAIN_SECONDS
        share = 100 if is_done else 100 * progress.done // progress.total
        self._say(f"{_STEPS[progress.step]}: {progress.done:,} of {progress.total:,} shares ({share} %)")


def audit(
    configuration: Configuration,
    start: int,
    end: int,
    worker: str | None,
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> bool:
    """Whether all is as it says; mismatches and the sum to `say`, progress to `tell`. Raises Mistake."""
    address = options.address(configuration).everywhere
    scope = Scope(start, end, worker)
    run = Audit(address, scope, on_finding=lambda finding: say(line(finding)), on_progress=_Teller(tell))
    began = time.time()

    async def recorded() -> AuditResult:
        result = await run.run()
        await record_audit(address, scope, result, started=began)
        return result

    try:
        result = asyncio.run(recorded())
    except (ClickHouseError, aiohttp.ClientError, OSError) as error:
        found = f" ({run.result.mismatches.total()} mismatches until then)" if run.result.mismatches else ""
        raise Mistake(
            f"the audit was cut short{found}: ClickHouse at {address.host}:{address.port}"
            f" {sentence(error, address.user)}"
        ) from None
    for text in summary(scope, result):
        say(text)
    return result.is_sound


def line(finding: Finding) -> str:
    """One mismatch, in one line that grep and awk can read."""
    if finding.share is None:
        return f"MISMATCH {finding.kind}: {finding.detail}: {MEANINGS[finding.kind]}"
    at = _time(finding.ts_ms // 1000)[:-1] + f".{finding.ts_ms % 1000:03}Z"
    worker = "".join(letter if letter.isprintable() else "?" for letter in finding.worker)
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"MISMATCH {finding.kind} {finding.share} {at} {worker}: {MEANINGS[finding.kind]}{detail}"


def summary(scope: Scope, result: AuditResult) -> list[str]:
    """What was looked at, how fast, and what was found."""
    of = "" if scope.worker is None else f" of {scope.worker}"
    rate = result.shares / result.header_seconds / 1e6 if result.header_seconds else 0.0
    checked = f"{result.shares:,} shares{of} from {_time(scope.start)} to {_time(scope.end)}, {result.jobs:,} jobs"
    lines = [f"{checked}, in {result.seconds:.1f} s (hashes and difficulties: {rate:.2f} million shares/s)"]
    lines += [f"  {kind}: {count:,}: {MEANINGS[kind]}" for kind, count in sorted(result.mismatches.items())]
    if not result.is_sound:
        lines.append(f"{result.mismatches.total():,} mismatches; see above")
    else:
        lines.append("every share is as it says" if result.shares else "there are no shares in this period")
    return lines


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
