"""The statements of an audit: ClickHouse itself hashes each header again and rebuilds each merkle root.

Of `shares`, called s, each looks at the rows of one stretch of time; `period` and `worker` are bound as
`start`, `end` (unix milliseconds, half open) and `worker`.
"""

from __future__ import annotations

from typing import Final

from services.stratum.difficulty import DIFFICULTY_1_TARGET
from services.stratum.share import MAX_NTIME_AHEAD_SECONDS
from services.warehouse.mismatch import RELATIVE_TOLERANCE, Mismatch

WITHIN: Final = (
    "s.ts >= fromUnixTimestamp64Milli({start:Int64}, 'UTC') AND s.ts < fromUnixTimestamp64Milli({end:Int64}, 'UTC')"
)
OF_WORKER: Final = " AND s.worker = {worker:String}"

# The ALIAS column `header` is the same, and costs a sixth more time.
_HEADER: Final = (
    "concat(reinterpretAsFixedString(s.version), s.prevhash, s.merkle_root, reinterpretAsFixedString(s.ntime),"
    " reinterpretAsFixedString(s.nbits), reinterpretAsFixedString(s.nonce))"
)
_NO_HEADER: Final = f"{_HEADER} = toFixedString('', 80)"
_ACTUAL: Final = f"({float(DIFFICULTY_1_TARGET)!r} / toFloat64(reinterpretAsUInt256(SHA256(SHA256({_HEADER})))))"
_ACCEPTED: Final = "s.verdict = 'accepted'"

HEADER_CHECKS: Final = {
    Mismatch.NO_HEADER: f"{_ACCEPTED} AND {_NO_HEADER}",
    Mismatch.DIFFICULTY: (
        f"NOT {_NO_HEADER} AND NOT (abs(s.actual_difficulty - {_ACTUAL}) <= {RELATIVE_TOLERANCE} * {_ACTUAL})"
    ),
    Mismatch.TARGET: (
        f"{_ACCEPTED} AND NOT {_NO_HEADER} AND NOT ({_ACTUAL} >= s.pool_difficulty * (1 - {RELATIVE_TOLERANCE}))"
    ),
}
"""What a share's own row says of itself; a NaN never passes."""

_MERKLE_ROOT: Final = (
    "arrayFold((root, sibling) -> SHA256(SHA256(concat(root, sibling))), j.merkle_branch,"
    " SHA256(SHA256(concat(j.coinbase1, s.extranonce1, s.extranonce2, j.coinbase2))))"
)
_KNOWN: Final = "notEmpty(j.coinbase1)"
JOB_CHECKS: Final = {
    Mismatch.JOB_UNKNOWN: f"NOT {_KNOWN}",
    Mismatch.MERKLE_ROOT: f"{_KNOWN} AND {_MERKLE_ROOT} != s.merkle_root",
    Mismatch.PREVHASH: f"{_KNOWN} AND j.prevhash != s.prevhash",
    Mismatch.NBITS: f"{_KNOWN} AND j.nbits != s.nbits",
    Mismatch.NTIME: (
        f"{_KNOWN} AND {_ACCEPTED} AND (s.ntime < j.ntime OR toInt64(s.ntime) * 1000 >"
        f" greatest(toInt64(j.ntime) * 1000, toUnixTimestamp64Milli(s.ts)) + {MAX_NTIME_AHEAD_SECONDS * 1000})"
    ),
}
"""How a share's row fits the job, called j, that it names."""

_JOBS: Final = """\
LEFT JOIN (
    SELECT job, any(prevhash) AS prevhash, any(coinbase1) AS coinbase1, any(coinbase2) AS coinbase2,
        any(merkle_branch) AS merkle_branch, any(nbits) AS nbits, any(ntime) AS ntime
    FROM jobs WHERE job IN (SELECT DISTINCT s.job FROM shares AS s WHERE {within}) GROUP BY job
) AS j ON s.job = j.job"""

_ID: Final = "toString(s.segment), s.seq, toUnixTimestamp64Milli(s.ts), s.worker"


def plan(condition: str) -> str:
    """Rows by hour (unix seconds), the earliest first."""
    return (
        f"SELECT toUnixTimestamp(toStartOfHour(s.ts)), count() FROM shares AS s WHERE {condition} GROUP BY 1 ORDER BY 1"
    )


def count_headers(condition: str) -> str:
    """Rows, and one count for each of HEADER_CHECKS, over the rows that `condition` names."""
    # Short circuits would compute each hash anew for each check: half the speed.
    return (
        f"SELECT count(), {_counts(HEADER_CHECKS)} FROM shares AS s WHERE {condition}"
        " SETTINGS short_circuit_function_evaluation = 'disable'"
    )


def find_headers(condition: str, kind: Mismatch) -> str:
    """segment, seq, ts (ms), worker, and what was found, of the rows that fail one of HEADER_CHECKS."""
    told = {
        Mismatch.NO_HEADER: "''",
        Mismatch.DIFFICULTY: f"concat(toString(s.actual_difficulty), ' stored, ', toString({_ACTUAL}), ' is right')",
        Mismatch.TARGET: f"concat(toString(s.pool_difficulty), ' credited, ', toString({_ACTUAL}), ' met')",
    }[kind]
    return f"SELECT {_ID}, {told} FROM shares AS s WHERE {condition} AND ({HEADER_CHECKS[kind]}) ORDER BY s.ts"


def count_jobs(condition: str) -> str:
    """Rows with a header, and one count for each of JOB_CHECKS."""
    joined = _JOBS.format(within=condition)
    return (
        f"SELECT count(), {_counts(JOB_CHECKS)} FROM shares AS s\n{joined}\nWHERE {condition} AND NOT {_NO_HEADER}"
        " SETTINGS join_use_nulls = 0, max_block_size = 8192"
    )


def find_jobs(condition: str, kind: Mismatch) -> str:
    """As `find_headers`, of the rows that fail one of JOB_CHECKS."""
    told = {
        Mismatch.JOB_UNKNOWN: "concat('job ', lower(hex(s.job)))",
        Mismatch.MERKLE_ROOT: (
            f"concat(lower(hex(s.merkle_root)), ' in the header, ', lower(hex({_MERKLE_ROOT})), ' follows')"
        ),
        Mismatch.PREVHASH: "concat(lower(hex(s.prevhash)), ' in the header, ', lower(hex(j.prevhash)), ' in the job')",
        Mismatch.NBITS: "concat(lower(hex(s.nbits)), ' in the header, ', lower(hex(j.nbits)), ' in the job')",
        Mismatch.NTIME: "concat(toString(s.ntime), ' in the header, ', toString(j.ntime), ' in the job')",
    }[kind]
    joined = _JOBS.format(within=condition)
    return (
        f"SELECT {_ID}, {told} FROM shares AS s\n{joined}\nWHERE {condition} AND NOT {_NO_HEADER}"
        f" AND ({JOB_CHECKS[kind]}) ORDER BY s.ts SETTINGS join_use_nulls = 0, max_block_size = 8192"
    )


def _long(text: str) -> str:
    return f"concat(reinterpretAsFixedString(byteSwap(toUInt32(length({text})))), {text})"


def _number(name: str) -> str:
    return f"reinterpretAsFixedString(byteSwap({name}))"


def jobs(condition: str) -> str:
    """Rows of the jobs that the shares name, and of those the ones whose content does not give the job's key.

    The key is that of services.stratum.job.Job.content_key.
    """
    # As String: neither arrayStringConcat nor toString keeps the zero bytes at the end of a FixedString.
    branch = _long("arrayStringConcat(arrayMap(sibling -> concat(sibling, ''), merkle_branch))")
    numbers = ", ".join(map(_number, ("version", "nbits", "ntime")))
    key = f"substring(SHA256(concat(prevhash, {_long('coinbase1')}, {_long('coinbase2')}, {branch}, {numbers})), 1, 16)"
    return (
        f"SELECT uniqExact(job), groupUniqArrayIf(lower(hex(job)), toFixedString({key}, 16) != job) FROM jobs"
        f" WHERE job IN (SELECT DISTINCT s.job FROM shares AS s WHERE {condition})"
    )


_HEADER_KEY: Final = "cityHash64(s.merkle_root, s.nonce, s.ntime, s.version, s.prevhash)"
_SLICE: Final = f"{_HEADER_KEY} % {{slices:UInt64}} = {{slice:UInt64}}"


def count_repeats(condition: str) -> str:
    """How many headers' keys of one slice (`slice` of `slices`) were accepted more than once."""
    return f"SELECT count() FROM ({_repeated_keys(condition)})"


def find_repeats(condition: str) -> str:
    """As `find_headers`: every accepted row of a repeated header but its first; equal keys alone do not count."""
    return f"""\
SELECT toString(other.1), other.2, other.3, other.4, concat('header of ', toString(found[1].1), '-',
    toString(found[1].2))
FROM (
    SELECT arraySort(row -> (row.3, row.1, row.2),
        groupArray((s.segment, s.seq, toUnixTimestamp64Milli(s.ts), toString(s.worker)))) AS found
    FROM shares AS s
    WHERE {condition} AND {_ACCEPTED} AND {_SLICE} AND {_HEADER_KEY} IN ({_repeated_keys(condition)})
        AND NOT {_NO_HEADER}
    GROUP BY {_HEADER} HAVING count() > 1
)
ARRAY JOIN arraySlice(found, 2) AS other
ORDER BY other.3"""


def _repeated_keys(condition: str) -> str:
    return (
        f"SELECT {_HEADER_KEY} AS header_key FROM shares AS s WHERE {condition} AND {_ACCEPTED} AND {_SLICE}"
        " GROUP BY header_key HAVING count() > 1"
    )


def _counts(checks: dict[Mismatch, str]) -> str:
    return ", ".join(f"countIf({check})" for check in checks.values())
