"""The statements of an export: what stands in its Parquet files."""

from __future__ import annotations

from services.warehouse.audit_sql import OF_WORKER, WITHIN


def condition(*, of_worker: bool) -> str:
    """Which shares; `start` and `end` (unix milliseconds) and `worker` are bound."""
    return WITHIN + (OF_WORKER if of_worker else "")


def counts(which: str) -> str:
    """Rows by step of `step` seconds (unix seconds of its start), the earliest first."""
    return (
        "SELECT toUnixTimestamp(toStartOfInterval(s.ts, toIntervalSecond({step:UInt32}))) AS step_start, count()"
        f" FROM shares AS s WHERE {which} GROUP BY step_start ORDER BY step_start"
    )


def shares(which: str) -> str:
    """The shares of one file. Bytes are hex, but for the header: 80 bytes as they were hashed."""
    return f"""\
SELECT concat(toString(s.segment), '-', toString(s.seq)) AS id, s.ts AS ts, toString(s.proxy) AS proxy,
    toString(s.pool_label) AS pool_label, toString(s.pool) AS pool, toString(s.miner) AS miner,
    toString(s.worker) AS worker, toBool(s.verdict = 'accepted') AS accepted,
    toString(s.reason) AS reason,
    s.pool_difficulty AS pool_difficulty, s.pool_requested_difficulty AS pool_requested_difficulty,
    s.actual_difficulty AS actual_difficulty, lower(hex(s.job)) AS job, toString(s.job_id) AS job_id,
    lower(hex(s.extranonce1)) AS extranonce1, lower(hex(s.extranonce2)) AS extranonce2, s.header AS header
FROM shares AS s WHERE {which} ORDER BY s.ts, s.segment, s.seq"""


def jobs_count(which: str) -> str:
    """How many jobs the shares name."""
    return f"SELECT uniqExact(job) FROM jobs WHERE job IN (SELECT DISTINCT s.job FROM shares AS s WHERE {which})"


def jobs(which: str) -> str:
    """The jobs that the shares name, of one file (`slice` of `slices`); with them, each share proves itself."""
    return f"""\
SELECT lower(hex(job)) AS job, any(pool_label) AS pool_label, any(pool) AS pool, lower(hex(any(prevhash))) AS prevhash,
    lower(hex(any(coinbase1))) AS coinbase1, lower(hex(any(coinbase2))) AS coinbase2,
    arrayMap(sibling -> lower(hex(sibling)), any(merkle_branch)) AS merkle_branch, any(version) AS version,
    any(nbits) AS nbits, any(ntime) AS ntime, min(first_sent) AS first_sent, max(last_sent) AS last_sent
FROM jobs
WHERE jobs.job IN (SELECT DISTINCT s.job FROM shares AS s WHERE {which})
    AND cityHash64(jobs.job) % {{slices:UInt64}} = {{slice:UInt64}}
GROUP BY jobs.job ORDER BY jobs.job"""
