"""Shares a second and core that an audit verifies (hash and difficulty), against ClickHouse hashing bare headers.

Both by turns in one run, on one thread of the engine in this process, by processor time: what else the machine does
counts little. Run: python -m services.bench.audit_rate [--millions N] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from services.warehouse.audit_sql import WITHIN, count_headers
from services.warehouse.embedded.engine import Engine
from services.warehouse.migrate import migrations

FIRST = 1_789_000_000
TARGET_PER_SECOND = 3_000_000
# Fields of a share whose difficulty is computed from them; a thousand shares a second.
GENERATE = """
INSERT INTO shares (ts, segment, seq, proxy, pool_label, pool, worker, verdict, pool_difficulty, actual_difficulty,
    version, prevhash, merkle_root, ntime, nbits, nonce)
SELECT toDateTime64({first} + number / 1000, 3, 'UTC'), toUUID('0f8fad5b-d9cb-469f-a165-70867728950e'), number, 'proxy',
    'normal', 'pool:3333', concat('worker', toString(number % 1000)), 'accepted', actual / 2,
    26959535291011309493156476344723991336010898738574164086137773096960.
        / toFloat64(reinterpretAsUInt256(SHA256(SHA256(concat(reinterpretAsFixedString(version), prevhash, merkle_root,
        reinterpretAsFixedString(ntime), reinterpretAsFixedString(nbits),
        reinterpretAsFixedString(nonce)))))) AS actual,
    toUInt32(536870912 + cityHash64(number, 'version') % 65536 * 8192) AS version,
    SHA256(toString(intDiv(number, 600000))) AS prevhash, SHA256(toString(number)) AS merkle_root,
    toUInt32({first} + intDiv(number, 1000)) AS ntime, toUInt32(386089497) AS nbits,
    toUInt32(cityHash64(number, 'nonce')) AS nonce
FROM numbers({count})
"""


def of_clickhouse(engine: Engine, sql: str, bound: dict[str, str]) -> tuple[float, str]:
    """Processor seconds of one statement on one thread, and what it answers."""
    with engine.session(settings={"max_threads": "1"}, params=bound) as session:
        began = time.process_time()
        result: bytes = session.query(sql, params=bound).bytes()
        return time.process_time() - began, result.decode().strip()


def of_hashlib(headers: int = 200_000) -> float:
    """Processor seconds a header in plain Python."""
    header = bytes(80)
    began = time.process_time()
    for _ in range(headers):
        sha256(sha256(header).digest()).digest()
    return (time.process_time() - began) / headers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    count = arguments.millions * 1_000_000
    with tempfile.TemporaryDirectory(prefix="audit-rate-") as folder:
        engine = Engine(Path(folder), None, "sharehouse")
        for migration in migrations():
            for statement in migration.statements:
                of_clickhouse(engine, statement, {})
        for statement in (
            GENERATE.format(first=FIRST, count=count),
            "OPTIMIZE TABLE shares FINAL",
            "CREATE TABLE bare (header FixedString(80)) ENGINE = Memory",
            "INSERT INTO bare SELECT header FROM shares",
        ):
            of_clickhouse(engine, statement, {})
        bound = {"start": str(FIRST * 1000), "end": str((FIRST + count) * 1000)}
        taken: dict[str, list[float]] = {"audit": [], "bare": [], "hashlib": []}
        for number in range(arguments.rounds + 1):
            audited, told = of_clickhouse(engine, count_headers(WITHIN), bound)
            if told.split("\t") != [str(count), "0", "0", "0"]:
                raise SystemExit(f"these shares are sound, but the audit says: {told}")
            bare, _ = of_clickhouse(engine, "SELECT count() FROM bare WHERE NOT ignore(SHA256(SHA256(header)))", {})
            if number:  # the first warms up
                taken["audit"].append(audited / count)
                taken["bare"].append(bare / count)
                taken["hashlib"].append(of_hashlib())
        engine.close()
    rates = {name: 1 / statistics.median(seconds) for name, seconds in taken.items()}
    for name, what in (
        ("audit", "audit: hash, difficulty and target of stored shares"),
        ("bare", "ClickHouse: SHA-256 twice of headers in memory"),
        ("hashlib", "Python's hashlib: the same"),
    ):
        print(f"{what:<54}{rates[name]:>12,.0f} a second and core")
    print(f"{'audit, of bare hashing':<54}{rates['audit'] / rates['bare']:>12.2f}")
    print(f"{'audit, of the target of ' + f'{TARGET_PER_SECOND:,}':<54}{rates['audit'] / TARGET_PER_SECOND:>12.2f}")


if __name__ == "__main__":
    main()
