"""`sharehouse shares export`: every share of the period once, and enough to prove it, read back by another engine."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
import pytest

from services.command.mistake import Mistake
from services.stratum.header import merkle_root
from services.tests.command.s3_server import KEY, SECRET, s3_server
from services.tests.command.test_shares import FIRST, keep, run
from services.tests.command.test_shares import store as store
from services.tests.warehouse.embedded.conftest import on_bare_engine
from services.tests.warehouse.provable import genuine_job, genuine_share
from services.warehouse import export

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import Share
    from services.warehouse.share_id import ShareId

PERIOD = ("--from", str(FIRST), "--to", str(FIRST + 7200))


@pytest.fixture
def shares(store: ClickHouseAddress) -> dict[ShareId, Share]:
    """Of two hours, and one that comes later."""
    generator = random.Random(11)
    kept: dict[ShareId, Share] = {}
    for minutes in (0, 1, 45, 119, 120):
        job = genuine_job(generator, ntime=FIRST + 60 * minutes)
        made = [genuine_share(generator, job, ts_ms=(job.ntime + second) * 1000) for second in range(20)]
        kept |= dict(zip(keep(store, job, made), made, strict=True))
    return kept


def read(folder: Path, statement: str) -> list[list[str]]:
    ((error, output),) = on_bare_engine(str(folder / uuid4().hex), [statement])
    assert error == ""
    return [line.split("\t") for line in output.splitlines()]


def last(done: Result) -> str:
    return done.stdout.splitlines()[-1]


def test_every_share_stands_in_the_files_once(
    shares: dict[ShareId, Share], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that minutes are cut into seconds, and jobs into files.
    monkeypatch.setattr(export, "MOST_ROWS", 15)
    monkeypatch.setattr(export, "_MOST_JOBS", 3)
    done = run("export", *PERIOD, "out")
    assert (done.exit_code, done.exception) == (0, None)
    assert last(done).startswith("exported 80 shares and 4 jobs to out: ")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name for name in files if not name.startswith("shares-")] == ["jobs-0001.parquet", "jobs-0002.parquet"]
    assert "shares-20260910T002640Z-20260910T002655Z.parquet" in files

    columns = "id, toUnixTimestamp64Milli(ts), worker, accepted, pool_difficulty, actual_difficulty, job, hex(header)"
    rows = read(tmp_path, f"SELECT {columns} FROM file('{tmp_path}/out/shares-*.parquet') ORDER BY ts")
    wanted = {str(name): share for name, share in shares.items() if share.ts_ms < (FIRST + 7200) * 1000}
    assert sorted(row[0] for row in rows) == sorted(wanted)
    for name, ts_ms, worker, accepted, credited, actual, job, header in rows:
        share = wanted[name]
        assert (int(ts_ms), worker, accepted == "true") == (share.ts_ms, share.worker, share.accepted)
        assert (float(credited), float(actual)) == (share.pool_difficulty, share.actual_difficulty)
        assert (job, header.lower()) == (share.job.hex(), share.header.hex())
    joined = (
        "SELECT concat(coinbase1, extranonce1, extranonce2, coinbase2), arrayStringConcat(merkle_branch), hex(header)"
        f" FROM file('{tmp_path}/out/shares-*.parquet') AS s"
        f" JOIN file('{tmp_path}/out/jobs-*.parquet') AS j ON s.job = j.job"
    )
    proofs = read(tmp_path, joined)
    assert len(proofs) == 80
    for coinbase, branch, header in proofs:
        siblings = tuple(bytes.fromhex(branch[at : at + 64]) for at in range(0, len(branch), 64))
        assert merkle_root(bytes.fromhex(coinbase), siblings) == bytes.fromhex(header)[36:68]

    again = run("export", *PERIOD, "out").exception
    assert isinstance(again, Mistake)
    assert "out is not empty" in str(again)


def test_one_worker_and_no_shares(shares: dict[ShareId, Share], tmp_path: Path) -> None:
    worker = next(iter(shares.values())).worker
    count = sum(share.worker == worker and share.ts_ms < (FIRST + 7200) * 1000 for share in shares.values())
    assert last(run("export", *PERIOD, "--worker", worker, "one")).startswith(f"exported {count} shares and ")
    assert last(run("export", "--from", "0", "--to", "60", "none")).startswith("exported 0 shares and 0 jobs to none")
    assert list((tmp_path / "none").iterdir()) == []


def test_to_s3(shares: dict[ShareId, Share], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as url:
        monkeypatch.setenv("AWS_S3_ENDPOINT", url)
        without_keys = run("export", *PERIOD, "s3://exports/a").exception
        assert isinstance(without_keys, Mistake)
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set" in str(without_keys)
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        client.create_bucket(Bucket="exports")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        done = run("export", *PERIOD, "s3://exports/a/b/")
        assert (done.exit_code, done.exception) == (0, None)
        keys = [item["Key"] for item in client.list_objects_v2(Bucket="exports")["Contents"]]
        assert {key.rsplit("/", 1)[0] for key in keys} == {"a/b"}
        assert len(keys) == 2
        for key in keys:
            client.download_file("exports", key, str(tmp_path / key.rsplit("/", 1)[1]))
        assert isinstance(run("export", *PERIOD, "s3://exports/a/b").exception, Mistake)
        assert isinstance(run("export", *PERIOD, "s3://exports").exception, Mistake)
    assert read(tmp_path, f"SELECT count() FROM file('{tmp_path}/shares-*.parquet')") == [["80"]]


def test_what_is_cut_short_leaves_no_file(
    store: ClickHouseAddress,
    shares: dict[ShareId, Share],
    tmp_path: Path,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "_SETTINGS", {"max_result_rows": 10, "result_overflow_mode": "throw"})
    failed = run("export", *PERIOD, "failed").exception
    assert isinstance(failed, Mistake)
    assert "cut short" in str(failed)
    assert list((tmp_path / "failed").iterdir()) == []
    monkeypatch.setenv("CLICKHOUSE_PORT", str(free_port))
    away = run("export", *PERIOD, "away").exception
    assert isinstance(away, Mistake)
    assert "CLICKHOUSE_PORT" in str(away)
