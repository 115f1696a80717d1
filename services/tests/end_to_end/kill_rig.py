"""Proxy, shipper, embedded ClickHouse and S3 server, killed at random under load, and what must hold afterwards.

The pool, the miners and their ledger live in processes that nobody kills. Which process dies next, how much later, and
how long it stays away follow from a seed; the very moment also depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from services.command.mistake import Mistake
from services.command.storage import Bucket, has_object
from services.demo.options import DemoPoolOptions
from services.demo.server import serve as serve_pool
from services.proxy.options import Limits, PoolOptions, ProxyOptions
from services.proxy.server import serve as serve_proxy
from services.tests.end_to_end.ledger_miner import Ledger, ledger_miners
from services.tests.free_port import free_ports
from services.tests.warehouse.embedded.test_tiering import BUCKET, KEY, SECRET, S3Process
from services.warehouse.address import ClickHouseAddress
from services.warehouse.embedded.options import EmbeddedOptions
from services.warehouse.embedded.server import serve as serve_clickhouse
from services.warehouse.migrate import migrate
from services.warehouse.retention import Retention
from services.warehouse.shipper import Shipper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

VICTIMS: Final = ("proxy", "shipper", "clickhouse", "s3")
CONNECTIONS: Final = 6
REST_SECONDS: Final = 0.1
"""Between two slices of a miner's work: a few hundred shares a second in all."""
DIFFICULTY: Final = 2.0**-26
_STORAGE: Final = Path(__file__).parents[3] / "config" / "clickhouse" / "storage-s3.xml"
_GROWTH_SECONDS: Final = 300.0

ROLL_UPS: Final = (
    ("shares_10m", "toStartOfTenMinutes(ts)"),
    ("shares_1h", "toStartOfHour(ts)"),
    ("shares_1d", "toStartOfDay(ts)"),
)


@dataclass(frozen=True, slots=True)
class ColdServer:
    """S3, asked before ClickHouse opens its tables: without it the engine ends, and nobody here starts it again."""

    bucket: Bucket

    @property
    def url(self) -> str:
        return self.bucket.url

    def unreachable(self) -> str:
        try:
            has_object(self.bucket, "")
        except Mistake as mistake:
            return str(mistake)
        return ""

    def unusable(self) -> str:
        return ""


class Victim(Protocol):
    """A process that can be killed and started again."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


async def _ship(options: tuple[Path, ClickHouseAddress]) -> None:
    await Shipper(options[0], None, options[1]).run()


def _run(serve: Callable[[Any], Coroutine[Any, Any, None]], options: Any, log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    asyncio.run(serve(options))


class Service:
    """One of ours, in a process of its own."""

    def __init__(self, serve: Callable[[Any], Coroutine[Any, Any, None]], options: Any, log: Path) -> None:
        self._arguments = serve, options, log
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_run, args=self._arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.join(10)


@dataclass(frozen=True, slots=True)
class Kill:
    """What the seed decides of one kill."""

    victim: str
    more_shares: int
    """So many more shares are accepted first."""
    delay_seconds: float
    away_seconds: float
    waits_until_open: bool
    """Whether ClickHouse may first open its tables, where it is the victim."""


def plan(seed: int, kills: int) -> list[Kill]:
    """Every victim equally often, in random order."""
    generator = random.Random(seed)
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(kills)]
    generator.shuffle(victims)
    return [
        Kill(
            victim,
            generator.randrange(1, 200),
            generator.uniform(0, 1.2),
            generator.choice((0.0, generator.uniform(0, 3))),
            generator.random() < 0.8,
        )
        for victim in victims
    ]


@dataclass(slots=True)
class KillRig:
    """The running whole. `ledger` is what miners read."""

    folder: Path
    address: ClickHouseAddress
    victims: dict[str, Victim]
    miners_port: int
    metrics_port: int
    """Of the proxy."""
    ledger: Ledger = field(default_factory=Ledger)
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))

    async def execute(self, planned: list[Kill], tell: Callable[[str], None]) -> None:
        """Kills as planned, each victim started again after its time away."""
        restarts: dict[str, asyncio.Task[None]] = {}
        try:
            for number, kill in enumerate(planned, 1):
                if kill.victim in restarts:
                    await restarts.pop(kill.victim)
                await self.grown(kill.more_shares)
                if kill.victim == "clickhouse" and kill.waits_until_open:
                    # It opens only once S3 answers; where that is away, this is a kill in the middle of the wait.
                    await self.open(within_seconds=10)
                await asyncio.sleep(kill.delay_seconds)
                await asyncio.to_thread(self.victims[kill.victim].kill)
                self.kills[kill.victim] += 1
                restarts[kill.victim] = asyncio.create_task(self._restart(kill))
                tell(f"{number}/{len(planned)} {kill.victim}; {len(self.ledger.accepted):,} shares accepted")
        finally:
            await asyncio.gather(*restarts.values())

    async def _restart(self, kill: Kill) -> None:
        await asyncio.sleep(kill.away_seconds)
        with contextlib.suppress(TimeoutError):  # it is started; on a busy machine it may answer later
            await asyncio.to_thread(self.victims[kill.victim].start)

    async def grown(self, by: int) -> None:
        """Until miners have read "accepted" for so many more shares. Raises TimeoutError."""
        wanted = len(self.ledger.accepted) + by
        deadline = time.monotonic() + _GROWTH_SECONDS
        while len(self.ledger.accepted) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"miners do not get {by} shares accepted in {_GROWTH_SECONDS:g} s")
            await asyncio.sleep(0.02)

    async def open(self, within_seconds: float) -> None:
        """Until ClickHouse answers, or for so long."""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.rows, "SELECT 1")
                return
            await asyncio.sleep(0.1)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What ClickHouse answers. Raises OSError where it does not."""
        request = urllib.request.Request(
            f"http://{self.address.host}:{self.address.port}/?database=sharehouse&default_format=JSONCompact",
            data=sql.encode(),
            headers={"X-ClickHouse-User": self.address.user, "X-ClickHouse-Key": self.address.password},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return list(map(tuple, json.load(answer)["data"]))
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(error.read().decode(errors="replace")[:500]) from None

    def stored(self) -> list[str]:
        """The hash of each accepted share in the store, repeated ones repeated."""
        return [row[0] for row in self.rows("SELECT block_hash FROM shares WHERE verdict = 'accepted'")]

    def pool_log(self) -> list[str]:
        """The hash of each share that the pool accepted, from its own log."""
        return [line.split()[0] for line in (self.folder / "pool" / "accepted.log").read_text().splitlines()]

    async def settled(self, within_seconds: float) -> None:
        """Once the load has ended: until all that was accepted is stored, and nothing is left to ship."""
        deadline = time.monotonic() + within_seconds
        missing = -1
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                missing = len(self.ledger.accepted - set(await asyncio.to_thread(self.stored)))
                if missing == 0 and not await asyncio.to_thread(self._unshipped):
                    return
            await asyncio.sleep(1)
        raise AssertionError(f"after {within_seconds:g} s, {missing} accepted shares are not stored")

    def _unshipped(self) -> bool:
        """Whether any segment but that of the living proxy exists, or that one has rows."""
        segments = list((self.folder / "spool").glob("*.sqlite"))
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return len(segments) > 1 or "sharehouse_spool_rows 0.0" not in lines

    def verify(self) -> dict[str, int]:
        """Raises AssertionError unless nothing was lost or doubled; gives the counts."""
        stored, log = self.stored(), self.pool_log()
        assert len(stored) == len(set(stored)), "a share is stored twice"
        assert len(log) == len(set(log)), "the pool accepted a share twice"
        lost, invented = self.ledger.accepted - set(stored), set(stored) - set(log)
        assert not lost, f"{len(lost)} shares that miners read as accepted are not stored"
        assert not invented, f"{len(invented)} shares are stored as accepted that the pool has not accepted"
        twice = self.rows("SELECT count() - uniqExact(segment, seq) FROM shares")[0][0]
        assert int(twice) == 0, "a row is stored twice"
        for table, bucket in ROLL_UPS:
            differing = self.rows(_DIFFERENCES.format(table=table, bucket=bucket))
            assert differing == [], f"{table} differs from the raw table: {differing[:3]}"
        cold = self.rows("SELECT sum(rows) FROM system.parts WHERE active AND table = 'shares' AND disk_name = 'cold'")
        return {
            "accepted by miners' ledger": len(self.ledger.accepted),
            "stored as accepted": len(stored),
            "in the pool's log": len(log),
            "rows on S3": int(cold[0][0]),
        }


_DIFFERENCES: Final = """\
SELECT * FROM (
    SELECT {bucket} AS bucket, pool_label, worker, countIf(verdict = 'accepted') AS accepted,
        countIf(verdict = 'rejected') AS rejected,
        sumMapIf(map(toString(reason), toUInt64(1)), verdict = 'rejected') AS reasons,
        sumIf(pool_difficulty, verdict = 'accepted') AS credited,
        maxIf(actual_difficulty, verdict = 'accepted') AS best, maxIf(ts, verdict = 'accepted') AS last
    FROM shares GROUP BY 1, 2, 3
) AS raw FULL JOIN (
    SELECT bucket, pool_label, worker, sum(accepted) AS accepted, sum(rejected) AS rejected,
        sumMap(rejected_by_reason) AS reasons, sum(credited_difficulty) AS credited, max(best_share) AS best,
        max(last_share) AS last
    FROM {table} GROUP BY 1, 2, 3
) AS rolled USING (bucket, pool_label, worker)
WHERE (raw.accepted, raw.rejected, raw.reasons, raw.credited, raw.best, raw.last)
    != (rolled.accepted, rolled.rejected, rolled.reasons, rolled.credited, rolled.best, rolled.last)
LIMIT 10"""


@contextlib.asynccontextmanager
async def kill_rig(folder: Path) -> AsyncIterator[KillRig]:
    """Starts everything, with miners at work; shares go to S3 as soon as they are in ClickHouse."""
    clickhouse_port, pool_port, listen_port, metrics_port = free_ports(4)
    address = ClickHouseAddress(port=clickhouse_port, password="of the kills")
    s3 = S3Process(_made(folder / "s3"))
    bucket = Bucket(BUCKET, "kills", "us-east-1", s3.url, KEY, SECRET)
    os.environ.update(bucket.environment())
    pool = Service(
        serve_pool,
        DemoPoolOptions(_made(folder / "pool"), port=pool_port, fixed_difficulty=DIFFICULTY, block_seconds=30),
        folder / "pool.log",
    )
    proxy = ProxyOptions(
        name="kills",
        pools=(PoolOptions("normal", listen_port, "127.0.0.1", pool_port, "kills.{worker}"),),
        spool=folder / "spool",
        clickhouse=address,
        host="127.0.0.1",
        metrics_port=metrics_port,
        limits=Limits(messages_per_second=1e6, invalid_shares=1e9),
    )
    embedded = EmbeddedOptions(
        data=folder / "clickhouse",
        port=clickhouse_port,
        password=address.password,
        storage=_STORAGE,
        cold=ColdServer(bucket),
    )
    victims: dict[str, Victim] = {
        "s3": s3,
        "clickhouse": Service(serve_clickhouse, embedded, folder / "clickhouse.log"),
        "proxy": Service(serve_proxy, proxy, folder / "proxy.log"),
        "shipper": Service(_ship, (folder / "spool", address), folder / "shipper.log"),
    }
    rig = KillRig(folder, address, victims, listen_port, metrics_port)
    try:
        await asyncio.to_thread(s3.start)
        await asyncio.to_thread(s3.ensure_bucket)
        victims["clickhouse"].start()
        pool.start()
        await rig.open(within_seconds=180)
        await migrate(address, Retention(hot_days=0))
        victims["proxy"].start()
        victims["shipper"].start()
        yield rig
    except BaseException:
        _tell_logs(folder)
        raise
    finally:
        for victim in (*victims.values(), pool):
            await asyncio.to_thread(victim.kill)


async def run(folder: Path, *, seed: int, kills: int, tell: Callable[[str], None]) -> dict[str, int]:
    """One whole run; gives the counts. Raises AssertionError where anything was lost or doubled."""
    async with kill_rig(folder) as rig:
        async with ledger_miners([rig.miners_port] * CONNECTIONS, rig.ledger, rest_seconds=REST_SECONDS):
            await rig.execute(plan(seed, kills), tell)
            await rig.grown(100)
        tell("the load has ended; waiting until everything is shipped")
        await rig.settled(within_seconds=400)
        return await asyncio.to_thread(rig.verify) | {f"kills of {name}": count for name, count in rig.kills.items()}


def _tell_logs(folder: Path) -> None:
    """What a run that failed is read by."""
    for log in sorted(folder.glob("*.log")):
        sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}\n")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
