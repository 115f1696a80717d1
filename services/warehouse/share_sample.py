"""Which shares an auditor looks at: a sample of a period that whoever asks determines by a seed, and nobody else."""

from __future__ import annotations

from typing import Final

SAMPLE_SQL: Final = """\
SELECT toUnixTimestamp64Milli(s.ts), toString(s.segment), s.seq FROM shares AS s
WHERE s.ts >= toDateTime64({start:Int64}, 3, 'UTC') AND s.ts < toDateTime64({end:Int64}, 3, 'UTC')
    AND s.verdict = 'accepted'
ORDER BY sipHash64(s.segment, s.seq, {seed:UInt64}), s.ts LIMIT {most:UInt32}"""
"""Rows: when, in unix ms, segment and number of `most` accepted shares, the same ones for the same seed."""

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
