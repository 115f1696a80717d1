"""Which shares somebody asks for: a period, and what narrows it. Its values are bound, never written into the SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from services.warehouse.windows import pieces

if TYPE_CHECKING:
    from services.warehouse.windows import Piece, Source

Verdict = Literal["accepted", "rejected"]

_RAW_RANGE: Final = "s.ts >= toDateTime64({start}, 3, 'UTC') AND s.ts < toDateTime64({end}, 3, 'UTC')"
_BUCKET_RANGE: Final = "s.bucket >= toDateTime({start}, 'UTC') AND s.bucket < toDateTime({end}, 'UTC')"
_HOUR: Final = 3_600
_TEN_MINUTES: Final = 600

# One row per raw share or per bucket of a roll-up. `squares` is the sum of squared credited difficulties, of a bucket
# as if its shares were all credited alike: it is of one worker, whose difficulty seldom changes within ten minutes.
_RAW: Final = """\
SELECT toUnixTimestamp(s.ts) AS at, s.worker AS worker, s.pool_label AS pool_label,
    toUInt64(s.verdict = 'accepted') AS accepted,
    if(s.verdict = 'rejected', map(toString(s.reason), toUInt64(1)), map()) AS refused,
    if(s.verdict = 'accepted', s.pool_difficulty, 0) AS credited, credited * credited AS squares,
    if(s.verdict = 'accepted', s.actual_difficulty, 0) AS actual, actual AS best,
    if(s.verdict = 'accepted', s.ts, toDateTime64(0, 3, 'UTC')) AS last
FROM shares AS s WHERE {condition}"""
_ROLLED_UP: Final = """\
SELECT toUnixTimestamp(s.bucket) AS at, s.worker AS worker, s.pool_label AS pool_label,
    {accepted} AS accepted, {refused} AS refused,
    {credited} AS credited, if(s.accepted > 0, credited * credited / s.accepted, 0) AS squares,
    {actual} AS actual, {best} AS best, {last} AS last
FROM {source} AS s WHERE {condition}"""
_COLUMNS: Final = {
    "accepted": ("s.accepted", "toUInt64(0)"),
    "credited": ("s.credited_difficulty", "toFloat64(0)"),
    "actual": ("s.actual_difficulty", "toFloat64(0)"),
    "best": ("s.best_share", "toFloat64(0)"),
    "last": ("s.last_share", "toDateTime64(0, 3, 'UTC')"),
}
_OF_VERDICT: Final = {None: "", "accepted": " AND s.accepted > 0", "rejected": " AND s.rejected > 0"}
_NONE_REFUSED: Final = "CAST(map(), 'Map(String, UInt64)')"


@dataclass(frozen=True, slots=True)
class ShareQuery:
    """Shares of [start, end), unix seconds; where given, of one worker, one pool (its label), one verdict, and of at
    least this actual difficulty.
    """

    start: int
    end: int
    worker: str | None = None
    pool: str | None = None
    verdict: Verdict | None = None
    min_difficulty: float = 0.0

    @property
    def seconds(self) -> int:
        return self.end - self.start

    def filters(self) -> tuple[str, dict[str, Any]]:
        """Conditions on raw shares called s, each with an AND in front, and what they bind; the period is not in it."""
        text, bound = self._named()
        if self.verdict is not None:
            text += " AND s.verdict = {verdict:String}"
            bound["verdict"] = self.verdict
        if self.min_difficulty > 0:
            text += " AND s.actual_difficulty >= {min_difficulty:Float64}"
            bound["min_difficulty"] = self.min_difficulty
        return text, bound

    def condition(self) -> tuple[str, dict[str, Any]]:
        """The whole condition on raw shares called s, with its period bound as `start` and `end`."""
        text, bound = self.filters()
        period = _RAW_RANGE.format(start="{start:Int64}", end="{end:Int64}")
        return period + text, {"start": self.start, "end": self.end, **bound}

    def rows(self, step_seconds: int) -> tuple[str, dict[str, Any]]:
        """SQL: at, worker, pool_label, accepted, refused, credited, squares, actual, best and last, of raw shares or of
        buckets that each lie in one step of `step_seconds` (on multiples of it), from the smallest tables that have it.
        """
        filters, bound = self.filters()
        named, _ = self._named()
        texts = [
            _RAW.format(condition=_RAW_RANGE.format(start=piece.start, end=piece.end) + filters)
            if piece.source == "shares"
            else self._rolled_up(piece, named)
            for piece in self._pieces(step_seconds)
        ]
        return "\nUNION ALL\n".join(texts), bound

    def _pieces(self, step_seconds: int) -> tuple[Piece, ...]:
        whole = pieces(self.start, self.end)
        if self.min_difficulty > 0 or step_seconds % _TEN_MINUTES:
            first = whole[0]
            return (type(first)("shares", self.start, self.end),)
        by_hour = step_seconds % _HOUR == 0
        return tuple(type(one)(_source(one.source, by_hour=by_hour), one.start, one.end) for one in whole)

    def _rolled_up(self, piece: Piece, named: str) -> str:
        refused = self.verdict == "rejected"
        return _ROLLED_UP.format(
            source=piece.source,
            refused=_NONE_REFUSED if self.verdict == "accepted" else "s.rejected_by_reason",
            condition=_BUCKET_RANGE.format(start=piece.start, end=piece.end) + _OF_VERDICT[self.verdict] + named,
            **{name: both[refused] for name, both in _COLUMNS.items()},
        )

    def _named(self) -> tuple[str, dict[str, Any]]:
        text = ""
        bound: dict[str, Any] = {}
        if self.pool is not None:
            text += " AND s.pool_label = {pool:String}"
            bound["pool"] = self.pool
        if self.worker is not None:
            text += " AND s.worker = {worker:String}"
            bound["worker"] = self.worker
        return text, bound


def _source(source: Source, *, by_hour: bool) -> Source:
    """The roll-up to read in place of `source`, so that no bucket is longer than the steps asked for."""
    if source == "shares":
        return source
    return "shares_1h" if by_hour and source == "shares_1h" else "shares_10m"
