"""Which shares an auditor looks at: a sample of a period that whoever asks determines by a seed, and nobody else."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE_ROWS: Final = 500_000
"""Of more shares than these, a sample is drawn from so many, that lie in stretches which the seed determines too."""
_TEN_MINUTES: Final = 600
_HOUR: Final = 3_600
# A month of ten minutes of a thousand workers is no question for 2 s.
_BY_HOUR_SECONDS: Final = 3 * 86_400

COUNTS_SQL: Final = """\
SELECT intDiv(toInt64(at), {step}) * {step} AS bucket, sum(accepted) AS count FROM (
{rows}
)
GROUP BY bucket HAVING count > 0 ORDER BY bucket"""
"""Rows: begin and number of shares of each step that has any; of what `ShareQuery.rows` gives."""

SAMPLE_SQL: Final = """\
SELECT toUnixTimestamp64Milli(s.ts), toString(s.segment), s.seq FROM shares AS s
WHERE s.ts >= toDateTime64({{start:Int64}}, 3, 'UTC') AND s.ts < toDateTime64({{end:Int64}}, 3, 'UTC')
    AND s.verdict = 'accepted'{within}
ORDER BY sipHash64(s.segment, s.seq, {{seed:UInt64}}), s.ts LIMIT {{most:UInt32}}"""
"""Rows: when, in unix ms, segment and number of `most` accepted shares, the same ones for the same seed."""

WITHIN_SQL: Final = " AND toStartOfTenMinutes(s.ts) IN (SELECT toDateTime(arrayJoin({marks:Array(Int64)}), 'UTC'))"
"""Goes into SAMPLE_SQL; `marks` are begins of ten minutes, which is how the table is ordered."""


def count_step(seconds: int) -> int:
    """Of how many seconds the steps are that a period of `seconds` is counted by."""
    return _HOUR if seconds > _BY_HOUR_SECONDS else _TEN_MINUTES


def marks_to_sample(counts: Iterable[tuple[int, int]], step: int, seed: int) -> list[int] | None:
    """Begins of the ten minutes to draw from: of steps in an order that the seed gives, until there are enough shares.

    None where that is the whole period.
    """
    drawn = list(counts)
    if sum(count for _, count in drawn) <= WHOLE_ROWS:
        return None
    random.Random(seed).shuffle(drawn)  # noqa: S311 - the seed is the secret, and the auditor's
    marks: list[int] = []
    rows = 0
    for begin, count in drawn:
        marks += range(begin, begin + step, _TEN_MINUTES)
        rows += count
        if rows >= WHOLE_ROWS:
            break
    return sorted(marks)


SAMPLED_SQL: Final = """\
SELECT toString(s.segment), s.seq, toUnixTimestamp64Milli(s.ts), s.proxy, s.pool_label, s.pool, s.miner, s.worker,
    s.verdict = 'accepted', s.reason, s.pool_difficulty, s.pool_requested_difficulty, s.actual_difficulty, hex(s.job),
    s.job_id, hex(s.extranonce1), hex(s.extranonce2), hex(s.header)
FROM shares AS s
WHERE s.ts IN (SELECT fromUnixTimestamp64Milli(arrayJoin({moments:Array(Int64)}), 'UTC'))
    AND (s.segment, s.seq) IN (
        SELECT toUUID(one.1), one.2
        FROM (SELECT arrayJoin(arrayZip({segments:Array(String)}, {numbers:Array(UInt64)})) AS one)
    )
ORDER BY s.ts, s.segment, s.seq"""
"""Rows: segment, number, and what `proof.share_of` reads."""

JOBS_SQL: Final = """\
SELECT hex(job), any(pool_label), any(pool), hex(any(prevhash)), hex(any(coinbase1)), hex(any(coinbase2)),
    arrayMap(sibling -> hex(sibling), any(merkle_branch)), any(version), any(nbits), any(ntime),
    toUnixTimestamp64Milli(min(first_sent))
FROM jobs WHERE job IN (SELECT toFixedString(unhex(arrayJoin({jobs:Array(String)})), 16)) GROUP BY job"""
"""Rows: the job's key in hex, and what `proof.job_of` reads."""
