"""`sharehouse shares` against a running store."""

from __future__ import annotations

import asyncio
import json
import random
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from services.command.main import app
from services.command.mistake import Mistake
from services.command.period import moment, period
from services.tests.warehouse.provable import genuine_job, genuine_share
from services.tests.warehouse.test_rowbinary import insert
from services.warehouse.client import Connection
from services.warehouse.rowbinary import RowEncoder, Stream
from services.warehouse.share_id import ShareId

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from services.warehouse.address import ClickHouseAddress
    from services.warehouse.records import JobRecord, Share

FIRST = 1_789_000_000


@pytest.fixture
def store(store: ClickHouseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClickHouseAddress:
    """A store that the settings in the environment lead to."""
    monkeypatch.chdir(tmp_path)
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"CLICKHOUSE_{name.upper()}", str(getattr(store, name)))
    return store


def keep(address: ClickHouseAddress, job: JobRecord, shares: list[Share]) -> list[ShareId]:
    segment = uuid4()

    async def kept() -> None:
        connection = Connection(address)
        client, encoder = await connection.client(), RowEncoder(segment)
        await insert(client, Stream.JOBS, encoder.job(job))
        await insert(client, Stream.SHARES, b"".join(encoder.share(share, n) for n, share in enumerate(shares)))
        await connection.close()

    asyncio.run(kept())
    return [ShareId(segment, number) for number in range(len(shares))]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["shares", *arguments])


def test_audit_and_proof(store: ClickHouseAddress) -> None:
    generator = random.Random(5)
    job = genuine_job(generator, ntime=FIRST)
    honest = genuine_share(generator, job)
    (good,) = keep(store, job, [honest])
    period = ("--from", str(FIRST), "--to", str(FIRST + 60))
    sound = run("audit", *period)
    assert (sound.exit_code, sound.stdout.splitlines()[-1]) == (0, "every share is as it says")
    assert sound.stdout.startswith("1 shares from 2026-09-10T00:26:40Z to 2026-09-10T00:27:40Z, 1 jobs, in ")
    assert "repeated headers: 1 of 1 shares (100 %)" in sound.stderr

    proof = run("proof", str(good), "--json")
    assert proof.exit_code == 0
    told = json.loads(proof.stdout)
    # What its reader would do, with nothing but SHA-256.
    coinbase = bytes.fromhex(told["coinbase1"] + told["extranonce1"] + told["extranonce2"] + told["coinbase2"])
    root = sha256(sha256(coinbase).digest()).digest()
    for sibling in told["merkle_branch"]:
        root = sha256(sha256(root + bytes.fromhex(sibling)).digest()).digest()
    header = bytes.fromhex(told["header"])
    assert header[36:68] == root
    assert sha256(sha256(header).digest()).digest()[::-1].hex() == told["block_hash"]
    assert told["coinbase_outputs"][0]["payee"].startswith("bc1q")
    for_people = run("proof", str(good)).stdout
    assert all(told[name] in for_people for name in ("coinbase1", "coinbase2", "header", "merkle_root", "block_hash"))
    assert for_people.splitlines()[0].endswith(", 2026-09-10 00:26:45.282 UTC")
    assert for_people.endswith("everything fits\n")

    (bad,) = keep(store, job, [replace(honest, ts_ms=honest.ts_ms + 1, worker="a\nb", pool_difficulty=2.0**99)])
    unsound = run("audit", *period)
    assert unsound.exit_code == 1
    lines = unsound.stdout.splitlines()
    kinds = [line.split()[1] for line in lines if line.startswith("MISMATCH ")]
    assert kinds == ["target", "repeated_header"]
    assert all(f"{bad} 2026-09-10T00:" in line and " a?b: " in line for line in lines[:2])
    assert lines[-1] == "2 mismatches; see above"
    assert run("audit", *period, "--worker", honest.worker).exit_code == 0
    shown = run("proof", str(bad))
    assert (shown.exit_code, "MISMATCH target: accepted, but" in shown.stdout) == (1, True)

    nothing = run("audit", "--from", "0", "--to", "60")
    assert (nothing.exit_code, nothing.stdout.splitlines()[-1]) == (0, "there are no shares in this period")

    missing = run("proof", f"{uuid4()}-1")
    assert isinstance(missing.exception, Mistake)
    assert "no share" in str(missing.exception)
    assert isinstance(run("proof", "7").exception, Mistake)


def test_without_clickhouse(store: ClickHouseAddress, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PORT", str(free_port))
    for arguments in (("audit",), ("proof", f"{uuid4()}-1")):
        error = run(*arguments).exception
        assert isinstance(error, Mistake)
        assert "CLICKHOUSE_PORT" in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 1_789_000_000),
        ("90m", 1_788_994_600),
        ("7d", 1_788_395_200),
        ("1788000000", 1_788_000_000),
        ("2026-09-10", 1_788_998_400),
        ("20260910", 1_788_998_400),
        ("2026-09-10T00:26:40", 1_789_000_000),
        ("2026-09-10T02:26:40+02:00", 1_789_000_000),
        ("2026-09-10 00:26:40Z", 1_789_000_000),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert moment("--from", text, 1_789_000_000.9) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "99999999999", "-5", "7w", "1969-01-01", "٣"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Mistake, match="--to .* is no time; write a day"):
        moment("--to", text, 0)


def test_a_period_that_ends_before_it_begins() -> None:
    assert period("24h", "now", 1_789_000_000) == (1_788_913_600, 1_789_000_000)
    with pytest.raises(Mistake, match="is not before"):
        period("2026-09-10", "2026-09-10", 0)
