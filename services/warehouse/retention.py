"""How long each table keeps its rows. Whatever it does not name is kept for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A job is sent before its shares are; one that came late by a spool is as old as they are.
_JOBS_LONGER_DAYS: Final = 7
_ROLLED_UP: Final = {
    "shares_10m": "bucket",
    "shares_1h": "bucket",
    "shares_1d": "bucket",
    "unrecorded_shares": "toDateTime(last)",
    "audits": "toDateTime(started)",
}
_STATE: Final = {
    "sessions": "toDateTime(updated)",
    "heartbeats": "toDateTime(ts)",
    "pool_states": "toDateTime(ts)",
    "config_revisions": "toDateTime(requested)",
    "config_answers": "toDateTime(answered)",
}
IN_WHOLE_PARTS: Final = frozenset({"shares", "shares_10m", "shares_1h", "shares_1d"})
"""Their parts go whole, days of shares and months of roll-ups: nothing is read from S3, or written anew, for it."""


class RetentionError(ValueError):
    """Tables that would be kept for times that do not fit each other."""


@dataclass(frozen=True, slots=True)
class Retention:
    """In days. Raises RetentionError where roll-ups would go before the shares that they count."""

    hot_days: int = 2
    """After which shares go to volume `cold`, where there is one."""
    keep_days: int | None = None
    """Shares and, a week longer, their jobs; None is for ever, here and in `rollup_keep_days`."""
    rollup_keep_days: int | None = None
    """Roll-ups, with what could not be recorded and the results of audits."""
    state_keep_days: int = 30
    """What proxies tell of themselves: sessions, heartbeats, pools' states, changes of the configuration."""

    def __post_init__(self) -> None:
        if self.rollup_keep_days is None:
            return
        if self.keep_days is None or self.rollup_keep_days < self.keep_days:
            kept = "for ever" if self.keep_days is None else f"for {self.keep_days} days"
            raise RetentionError(
                f"STORAGE_ROLLUP_KEEP_DAYS is {self.rollup_keep_days}, but shares are kept {kept}, and figures are read"
                " from the roll-ups: set STORAGE_KEEP_DAYS to as many days or fewer, or leave the roll-ups for ever"
            )

    def ttls(self) -> dict[str, str]:
        """By table: when its rows are deleted, as a TTL; '' is never."""
        jobs = None if self.keep_days is None else self.keep_days + _JOBS_LONGER_DAYS
        return {
            "shares": _after("toDateTime(ts)", self.keep_days),
            "jobs": _after("toDateTime(last_sent)", jobs),
            **{table: _after(time, self.rollup_keep_days) for table, time in _ROLLED_UP.items()},
            **{table: _after(time, self.state_keep_days) for table, time in _STATE.items()},
        }


def _after(time: str, days: int | None) -> str:
    return "" if days is None else f"{time} + toIntervalDay({days})"
