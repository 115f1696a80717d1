"""What is checked on the running stack. Each raises AssertionError."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from services.tests.containers.composed import ONE_SHOTS, answering_ports
from services.tests.end_to_end.ledger_miner import Ledger, ledger_miners

if TYPE_CHECKING:
    from services.tests.containers.composed import Composed

CONNECTIONS = 9


def refuses_placeholders(stack: Composed) -> None:
    """With the files as they are copied, nothing starts, and the log says what to do."""
    stack.env_file.write_text((stack.docker_folder / ".env.example").read_text())
    done = stack.compose("up", "--detach", check=False)
    (checked,) = stack.inspect(*stack.containers("check", stopped=True))
    assert checked["State"]["ExitCode"] == 2, done
    log = stack.compose("logs", "--no-color", "check")
    assert "config/config.toml: pools.normal.user: still the placeholder" in log, log
    assert "docker/.env: CLICKHOUSE_PASSWORD is empty; run scripts/env-init" in log, log
    started = [one["Name"] for one in stack.inspect(*stack.containers(stopped=True)) if one["State"]["StartedAt"] > "1"]
    assert started == [checked["Name"]], f"started in spite of it: {started}"
    stack.compose("down", "--volumes")


def comes_up(stack: Composed, *, proxies: int = 1) -> None:
    """Every service is healthy, and the one-shots ended well."""
    stack.compose("up", "--detach")
    stack.eventually(lambda: stack.all_healthy(proxies), "every service is healthy")
    for name in ONE_SHOTS:
        (one,) = stack.inspect(*stack.containers(name, stopped=True))
        assert one["State"]["ExitCode"] == 0, name


def mines(stack: Composed, ledger: Ledger) -> None:
    """The merge miner and miners from outside, by both ports."""
    worker = "SELECT count() FROM shares WHERE verdict = 'accepted' AND worker = 'sharehouse.miner'"
    with _load(stack, ledger) as load:
        load.until(lambda: len(ledger.accepted) >= 20, "20 shares from outside are accepted")
        load.until(lambda: stack.rows(worker)[0][0] >= 3, "shares of the merge miner are stored")


def all_agree(stack: Composed) -> int:
    """With no miner at work: the pool's log, ClickHouse, the API and the dashboard know the same accepted shares."""
    stack.compose("stop", "miner")
    (stopped,) = stack.inspect(*stack.containers("miner", stopped=True))
    assert stopped["State"]["ExitCode"] == 0, "the miner had to be killed, or failed to stop"
    stack.eventually(lambda: _agree(stack), "pool = ClickHouse = API = dashboard")
    count = len(stack.pool_log())
    stack.compose("start", "miner")
    return count


def _agree(stack: Composed) -> bool:
    stored, log = _stored(stack), stack.pool_log()
    assert len(stored) == len(set(stored)), "a share is stored twice"
    assert len(log) == len(set(log)), "the pool accepted a share twice"
    by_api = stack.api("/api/pool/stats")["btc"]["shares_24h"]
    return set(stored) == set(log) and by_api == len(log) and _by_dashboard(stack) == len(log)


def _by_dashboard(stack: Composed) -> int:
    found = re.search(r'data-cell="shares"[^>]*>\s*([0-9,]+)', stack.dashboard("/"))
    return int(found[1].replace(",", "")) if found else -1


def _stored(stack: Composed) -> list[str]:
    return [row[0] for row in stack.rows("SELECT block_hash FROM shares WHERE verdict = 'accepted'")]


def old_shares_go_to_s3(stack: Composed) -> None:
    """Shares of three days ago, under another pool's name, are moved to the bucket and can still be read."""
    columns = [
        row[0]
        for row in stack.rows(
            "SELECT name FROM system.columns WHERE table = 'shares' AND database = 'sharehouse' AND default_kind = ''"
        )
    ]
    chosen = [{"ts": "ts - INTERVAL 3 DAY", "pool_label": "'old'"}.get(name, name) for name in columns]
    stack.rows(f"INSERT INTO shares ({', '.join(columns)}) SELECT {', '.join(chosen)} FROM shares LIMIT 50")
    where = "SELECT sum(rows) FROM system.parts WHERE active AND database = 'sharehouse' AND disk_name = 'cold'"
    stack.eventually(lambda: int(stack.rows(where)[0][0]) >= 1, "old shares lie on S3")
    assert int(stack.rows("SELECT count() FROM shares WHERE pool_label = 'old' AND NOT ignore(header)")[0][0]) >= 1
    status = stack.compose("run", "--rm", "--no-deps", "migrate", "storage", "status")
    assert "cold" in status, status


def only_the_front_is_reachable(stack: Composed) -> None:
    """Published are four ports; ClickHouse and metrics answer inside their own networks alone."""
    published = set()
    for one in stack.inspect(*stack.containers()):
        for bindings in one["NetworkSettings"]["Ports"].values():
            published |= {int(binding["HostPort"]) for binding in bindings or ()}
    assert published == set(stack.ports.values())
    answering = set(answering_ports()) - set(stack.answered_before)
    assert answering == set(), f"answers outside: {answering}"
    reach = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    for service, host, port in (("demo-pool", "clickhouse", 8123), ("miner", "demo-pool", 13333)):
        with contextlib.suppress(subprocess.CalledProcessError):
            stack.execute(service, "python", "-c", reach, host, str(port))
            raise AssertionError(f"{service} reaches {host}:{port}")


def nothing_is_more_than_it_needs(stack: Composed) -> None:
    """No root, no writable system, no capability, no compiler; a proxy without the engine, an engine without pandas."""
    for one in stack.inspect(*stack.containers(stopped=True)):
        name = one["Name"]
        assert one["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert one["HostConfig"]["ReadonlyRootfs"], name
        assert one["HostConfig"]["CapDrop"] == ["ALL"], name
        assert one["HostConfig"]["Memory"] > 0, name
    for service in ("proxy", "api", "dashboard", "miner", "demo-pool", "clickhouse", "haproxy", "s3"):
        assert stack.execute(service, "id", "-u") != "0", service
        with contextlib.suppress(subprocess.CalledProcessError):
            stack.execute(service, "touch", "/written")
            raise AssertionError(f"{service} can write to its system")
    find = "import importlib.util as u, shutil; print([n for n in ('chdb', 'pandas', 'pyarrow') if u.find_spec(n)],"
    find += " [n for n in ('cc', 'gcc', 'make') if shutil.which(n)])"
    assert stack.execute("proxy", "python", "-c", find) == "[] []"
    assert stack.execute("clickhouse", "python", "-c", find) == "['chdb'] []"


def miner_leaves_room(stack: Composed) -> None:
    """What hashes in the merge miner has the lowest priority, the rest of it has not, and all of it half a CPU."""
    (miner,) = stack.inspect(*stack.containers("miner"))
    assert (miner["HostConfig"]["NanoCpus"], miner["HostConfig"]["CpuShares"]) == (500_000_000, 2)
    # Behind the command's name in parentheses, proc(5): the time used is the 12th field, the nice value the 17th.
    look = "import glob; of = [open(f).read().rpartition(')')[2].split() for p in glob.glob('/proc/[0-9]*/')"
    look += " if b'-m\\0services.command' in open(p + 'cmdline', 'rb').read() for f in glob.glob(p + 'task/*/stat')];"
    look += " print(max(of, key=lambda thread: int(thread[11]))[16], min(int(thread[16]) for thread in of))"
    stack.eventually(lambda: stack.execute("miner", "python", "-c", look) == "19 0", "what hashes has nice 19")


def logs_hold_no_secret(stack: Composed) -> None:
    """Of any service, one-shots included."""
    log = stack.compose("logs", "--no-color")
    told = [name for name, secret in stack.secrets().items() if secret in log]
    assert len(stack.secrets()) >= 5
    assert told == [], f"in the log: {told}"


def scales(stack: Composed, ledger: Ledger, *, proxies: int) -> None:
    """More proxies are found by haproxy, each gets its part of the miners, and all show."""
    stack.compose("up", "--detach", "--no-recreate", "--scale", f"proxy={proxies}")
    stack.eventually(lambda: stack.all_healthy(proxies), f"{proxies} healthy proxies")
    spread = (
        "SELECT proxy, count() FROM sessions FINAL WHERE disconnected IS NULL AND arrayExists(w -> w LIKE 'ledger.%',"
        " workers) GROUP BY proxy"
    )
    alive = "SELECT uniqExact(proxy) FROM heartbeats WHERE ts > now() - INTERVAL 10 SECOND"
    with _load(stack, ledger) as load:
        load.until(lambda: stack.rows(alive)[0][0] >= proxies, f"{proxies} proxies show")
        load.until(lambda: _shown_proxies(stack) == proxies, f"{proxies} proxies are on the dashboard")
        load.until(lambda: len(stack.rows(spread)) == proxies, f"miners on {proxies} proxies")


def _shown_proxies(stack: Composed) -> int:
    """Of those that live, by the dashboard's page of what each keeps in its spool."""
    page = stack.dashboard("/storage")
    alive = "SELECT DISTINCT proxy FROM heartbeats WHERE ts > now() - INTERVAL 10 SECOND"
    return sum(name in page for (name,) in stack.rows(alive))


def survives_a_kill(stack: Composed, ledger: Ledger) -> None:
    """kill -9 of a proxy under load: the engine starts it again, and its spool is shipped."""
    with _load(stack, ledger) as load:
        load.until_grown(20)
        victim = stack.inspect(*stack.containers("proxy"))[0]
        os.kill(victim["State"]["Pid"], signal.SIGKILL)
        load.until(lambda: stack.inspect(victim["Id"])[0]["RestartCount"] > victim["RestartCount"], "it starts again")
        load.until_grown(20)
        load.until(lambda: stack.all_healthy(len(stack.containers("proxy"))), "all are healthy again")


def rolls(stack: Composed, ledger: Ledger) -> None:
    """Every proxy is replaced while miners mine."""
    before = set(stack.containers("proxy"))
    with _load(stack, ledger) as load:
        load.until_grown(10)
        load.run(lambda: stack.script("roll"))
        load.until_grown(20)
    after = set(stack.containers("proxy"))
    assert len(after) == len(before)
    assert not after & before, "a proxy was not replaced"
    stack.eventually(lambda: stack.all_healthy(len(before)), "all are healthy")


def nothing_was_lost(stack: Composed, ledger: Ledger) -> int:
    """What miners read as accepted is stored once, whatever was killed and replaced since."""
    stack.compose("stop", "miner")
    stack.eventually(lambda: ledger.accepted <= set(_stored(stack)), "all accepted are stored")
    stored = [
        row[0] for row in stack.rows("SELECT block_hash FROM shares WHERE verdict = 'accepted' AND pool_label != 'old'")
    ]
    assert len(stored) == len(set(stored)), "a share is stored twice"
    assert set(stored) <= set(stack.pool_log()), "a share is stored that the pool does not know"
    stack.compose("start", "miner")
    return len(ledger.accepted)


class _Load:
    """Miners that run in this process's event loop while conditions are waited for in a thread."""

    def __init__(self, stack: Composed, ledger: Ledger) -> None:
        self._stack = stack
        self._ledger = ledger
        self._runner = asyncio.Runner()

    def __enter__(self) -> _Load:
        ports = [self._stack.ports[name] for name in ("PROXY_PORT", "PROXY_PORT_HIGH")]
        self._mining = ledger_miners([ports[index % 2] for index in range(CONNECTIONS)], self._ledger)
        self._runner.run(self._mining.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._mining.__aexit__(None, None, None))
        self._runner.close()

    def run(self, step: object) -> None:
        assert callable(step)
        self._runner.run(asyncio.to_thread(step))

    def until(self, condition: object, what: str) -> None:
        assert callable(condition)
        self.run(lambda: self._stack.eventually(condition, what))

    def until_grown(self, by: int) -> None:
        wanted = len(self._ledger.accepted) + by
        self.until(lambda: len(self._ledger.accepted) >= wanted, f"{by} more shares are accepted")


def _load(stack: Composed, ledger: Ledger) -> _Load:
    return _Load(stack, ledger)
