"""The endpoints that prove shares, and docs/verify_shares.py, which believes none of them."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec.structs import replace

from services.stratum.coinbase import Coinbase
from services.tests.api.conftest import ADMIN, READ, api
from services.tests.api.listed_share import said
from services.tests.api.test_access import assert_error
from services.tests.warehouse.provable import genuine_job, genuine_share
from services.tests.warehouse.rows import make_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse import share_sample
from services.warehouse.client import Connection
from services.warehouse.records import NO_HEADER
from services.warehouse.rowbinary import RowEncoder, Stream

if TYPE_CHECKING:
    import pytest

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import JobRecord, Share


VERIFIER = Path(__file__).parents[3] / "docs" / "verify_shares.py"
NOW = int(time.time())
SEGMENT = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
PERIOD = {"start_time": NOW - 3600, "end_time": NOW}


async def keep(address: ClickHouseAddress, jobs: list[JobRecord], shares: list[Share]) -> None:
    """Their numbers are those of the list."""
    connection = Connection(address)
    client = await connection.client()
    encoder = RowEncoder(SEGMENT)
    await insert(client, Stream.JOBS, b"".join(encoder.job(job) for job in jobs))
    await insert(client, Stream.SHARES, b"".join(encoder.share(share, seq) for seq, share in enumerate(shares)))
    await connection.close()


def genuine(count: int, **changes: Any) -> tuple[list[JobRecord], list[Share]]:
    rng = random.Random(11)
    jobs = [genuine_job(rng, ntime=NOW - 3000) for _ in range(3)]
    shares = [
        genuine_share(rng, jobs[number % 3], ts_ms=(NOW - 3000 + number) * 1000, **changes) for number in range(count)
    ]
    return jobs, shares


async def test_a_proof_has_all_that_an_outsider_needs(store: ClickHouseAddress) -> None:
    jobs, (share,) = genuine(1)
    rng = random.Random(5)
    refused = make_share(rng, accepted=False, reason="malformed", header=NO_HEADER, actual_difficulty=0.0)
    await keep(store, jobs, [share, refused, make_share(rng, accepted=True, reason="")])
    async with api(store) as client:
        told = (await client.get(f"/api/shares/{SEGMENT}-0/proof", headers=READ)).json()
        without_header = (await client.get(f"/api/shares/{SEGMENT}-1/proof", headers=READ)).json()
        without_job = (await client.get(f"/api/shares/{SEGMENT}-2/proof", headers=READ)).json()
        for path in ("nonsense", str(SEGMENT), f"{SEGMENT}-{1 << 64}"):
            assert_error(await client.get(f"/api/shares/{path}/proof", headers=READ), 400, "INVALID_SHARE_ID")
        assert_error(await client.get(f"/api/shares/{SEGMENT}-9/proof", headers=READ), 404, "UNKNOWN_SHARE")
        assert_error(await client.get(f"/api/shares/{SEGMENT}-0/proof"), 401, "MISSING_TOKEN")
        assert_error(await client.get(f"/api/shares/{SEGMENT}-0/proof", headers=ADMIN), 403, "INSUFFICIENT_SCOPE")
    job = jobs[0]
    coinbase = job.coinbase1 + share.extranonce1 + share.extranonce2 + job.coinbase2
    assert told == {
        **said(share, SEGMENT, 0),
        "verdict": "accepted",
        "reason": "",
        "header": share.header.hex(),
        "extranonce1": share.extranonce1.hex(),
        "extranonce2": share.extranonce2.hex(),
        "job": {
            "key": job.job.hex(),
            "prevhash": job.prevhash.hex(),
            "coinbase1": job.coinbase1.hex(),
            "coinbase2": job.coinbase2.hex(),
            "merkle_branch": [sibling.hex() for sibling in job.merkle_branch],
            "version": job.version,
            "nbits": job.nbits,
            "ntime": job.ntime,
        },
        "coinbase": coinbase.hex(),
        "outputs": [
            {"satoshi": one.satoshi, "script": one.script.hex(), "payee": one.payee}
            for one in Coinbase.parse(coinbase).outputs
        ],
        "mismatches": [],
    }
    assert (without_header["verdict"], without_header["reason"], without_header["header"]) == (
        "rejected",
        "malformed",
        "",
    )
    assert (without_header["block_hash"], without_header["mismatches"]) == ("", [])
    assert (without_job["job"], without_job["coinbase"], without_job["outputs"]) == (None, "", [])
    assert "job_unknown" in without_job["mismatches"]


async def test_whoever_asks_determines_the_sample(store: ClickHouseAddress) -> None:
    jobs, shares = genuine(60)
    shares[7] = replace(shares[7], accepted=False, reason="stale")
    shares[8] = replace(shares[8], ts_ms=(NOW - 3600) * 1000 - 1)
    shares[9] = replace(shares[9], ts_ms=NOW * 1000)
    await keep(store, jobs, shares)
    async with api(store) as client:

        async def ids(**parameters: Any) -> list[str]:
            answer = await client.get("/api/shares/audit", params=PERIOD | parameters, headers=READ)
            assert answer.status_code == 200, answer.text
            sample = answer.json()["shares"]
            assert all(one["mismatches"] == [] for one in sample)
            assert [one["timestamp_ms"] for one in sample] == sorted(one["timestamp_ms"] for one in sample)
            return [one["id"] for one in sample]

        everything = await ids(sample=100)
        assert everything == [f"{SEGMENT}-{number}" for number in range(60) if number not in (7, 8, 9)]
        first, second = await ids(seed=1), await ids(seed=2)
        assert len(first) == len(second) == 10
        # Ten of 57: the chance that two seeds choose the same is one in 10^10.
        assert first != second
        assert await ids(seed=1) == first
        assert set(await ids(seed=1, sample=20)) > set(first)
        for parameters in ({"start_time": NOW}, {"start_time": NOW - 31 * 86_400}):
            answer = await client.get("/api/shares/audit", params=PERIOD | parameters, headers=READ)
            assert_error(answer, 400, "INVALID_PERIOD")
        for parameters in ({"sample": 0}, {"sample": 101}, {"seed": -1}, {"seed": 1 << 63}):
            answer = await client.get("/api/shares/audit", params=PERIOD | parameters, headers=READ)
            assert_error(answer, 422, "INVALID_PARAMETER")
        assert await ids(start_time=5, end_time=6) == []


async def test_of_very_many_a_sample_is_drawn_from_stretches_that_the_seed_gives(
    store: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, shares = genuine(60)
    spread = [replace(share, ts_ms=(NOW - 3000 + 40 * number) * 1000) for number, share in enumerate(shares)]
    await keep(store, jobs, spread)
    monkeypatch.setattr(share_sample, "WHOLE_ROWS", 12)
    async with api(store) as client:

        async def drawn(seed: int, sample: int = 5) -> list[int]:
            asked = PERIOD | {"seed": seed, "sample": sample}
            answer = await client.get("/api/shares/audit", params=asked, headers=READ)
            assert answer.status_code == 200, answer.text
            assert all(one["mismatches"] == [] for one in answer.json()["shares"])
            return [int(one["id"].rpartition("-")[2]) for one in answer.json()["shares"]]

        samples = [await drawn(seed) for seed in range(8)]
        assert samples[3] == await drawn(3)
        assert set(samples[3]) < set(await drawn(3, 10))
        assert all(len(set(sample)) == 5 for sample in samples)
    # Of ten minutes, or two stretches of it: no sample reaches over the whole period, all of them together do.
    stretches = [{spread[number].ts_ms // 600_000 for number in sample} for sample in samples]
    assert all(len(one) <= 3 for one in stretches)
    assert len(set().union(*stretches)) >= 3


async def verified(url: str, *more: str, token: str = "reader-token") -> tuple[int | None, str]:
    """Exit code and output of the guide's program."""
    ended = await asyncio.create_subprocess_exec(
        sys.executable,
        str(VERIFIER),
        url,
        "--hours",
        "1.5",
        "--sample",
        "100",
        *more,
        env={**os.environ, "TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await ended.communicate()
    return ended.returncode, output.decode()


FORGERIES: dict[str, dict[str, Any]] = {
    "the merkle root does not follow from the coinbase": {"extranonce2": b"\1\2\3\4\5\6\7\x08"},
    "its difficulty is not the one told": {"actual_difficulty": 1e9},
    "its hash does not meet the credited difficulty": {"pool_difficulty": 1e9},
}


async def test_an_outsider_finds_every_share_proven_and_every_forgery(store: ClickHouseAddress) -> None:
    jobs, shares = genuine(40)
    await keep(store, jobs, shares)
    script = max(Coinbase.parse(coinbase_of(jobs[0], shares[0])).outputs, key=lambda one: one.satoshi).script.hex()
    async with api(store) as client:
        assert await verified(str(client.base_url)) == (0, "40 of 40 sampled shares are proven\n")
        url = str(client.base_url).rstrip("/")
        assert await verified(url, token="wrong") == (2, f"{url} answers 401: The token is not valid\n")
        code, output = await verified(str(client.base_url), "--pays", "51")
        assert (code, output.count("would not pay 51 alone")) == (1, 40)
        code, output = await verified(str(client.base_url), "--pays", script)
        assert f"{SEGMENT}-0 " not in output
    forged = [replace(shares[number], **changes) for number, changes in enumerate(FORGERIES.values())]
    (*_, of_yesterday) = genuine(4, ntime=NOW - 90_000)[1]
    connection = Connection(store)
    for table in ("shares", "shares_10m", "shares_1h", "shares_1d"):
        await (await connection.client()).command(f"TRUNCATE TABLE {table}")
    await connection.close()
    await keep(store, [], [*forged, of_yesterday, shares[9], shares[9]])
    async with api(store) as client:
        code, output = await verified(str(client.base_url))
    assert code == 1
    for number, fault in enumerate(FORGERIES):
        assert f"{SEGMENT}-{number} of {shares[number].worker}: {fault}" in output
    assert output.count("its header is of another time") == 1
    assert output.count("its header counts twice") == 1
    assert output.endswith("1 of 6 sampled shares are proven\n")


def coinbase_of(job: JobRecord, share: Share) -> bytes:
    return job.coinbase1 + share.extranonce1 + share.extranonce2 + job.coinbase2
