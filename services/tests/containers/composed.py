"""The stack as its user runs it: a copy of the project, docker-compose in its folder docker/, the settings in .env."""

from __future__ import annotations

import base64
import http.client
import json
import re
import resource
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.tests.containers.engine import told

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.tests.containers.engine import Engine

ROOT = Path(__file__).parents[3]
_LEFT_OUT = (".git", ".venv", "data", "found_blocks", "__pycache__", ".*_cache", ".hypothesis", ".env", "secrets")
PORTS = ("PROXY_PORT", "PROXY_PORT_HIGH", "API_PORT", "DASHBOARD_PORT")
# So long does one step of a busy stack take at the very most; on an idle machine it is seconds.
_PATIENCE_SECONDS = 240.0
# What leaves with a container and is no trouble: `check` and `migrate` run once.
ONE_SHOTS = ("check", "migrate")


def answering_ports() -> list[int]:
    """Those of ClickHouse, of metrics and of haproxy's page at which somebody answers on this machine."""
    answering = []
    for port in (8123, 9000, 9333, 8404):
        with socket.socket() as client:
            client.settimeout(2)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                answering.append(port)
    return answering


class Composed:
    """One project of docker-compose."""

    def __init__(self, engine: Engine, folder: Path, ports: dict[str, int]) -> None:
        self.engine = engine
        self.answered_before = answering_ports()
        self.project = folder / "project"
        self.ports = ports
        self.command: tuple[str, ...] = ("docker-compose",)
        shutil.copytree(ROOT, self.project, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        self.docker_folder = self.project / "docker"
        self.env_file = self.docker_folder / ".env"

    def compose(self, *arguments: str, timeout_seconds: float = 600, check: bool = True) -> str:
        """What it prints. Raises CalledProcessError with that."""
        return self.engine.run(
            [*self.command, *arguments],
            folder=self.docker_folder,
            timeout_seconds=timeout_seconds,
            check=check,
        )

    def script(self, name: str, *arguments: str, timeout_seconds: float = 300) -> str:
        """A script of the project, as its user calls it. Raises CalledProcessError."""
        return self.engine.run(
            [str(self.project / "scripts" / name), *arguments],
            folder=self.docker_folder,
            timeout_seconds=timeout_seconds,
            COMPOSE=" ".join(self.command),
        )

    def set(self, **values: str | int) -> None:
        """Lines of .env."""
        text = self.env_file.read_text()
        for name, value in values.items():
            line = f"{name}={value}"
            text, count = re.subn(rf"^(?:# ?)?{name}=.*$", line, text, count=1, flags=re.MULTILINE)
            assert count, f"{name} does not stand in .env.example"
        self.env_file.write_text(text)

    def set_for_the_test(self) -> None:
        """Mine on the demo pool, keep old shares on the S3 server, on ports that nobody else has."""
        self.set(
            COMPOSE_PROFILES="miner,demo,s3",
            CONFIG_FILE="demo.toml",
            STORAGE="s3",
            STORAGE_HOT_DAYS=1,
            AWS_S3_BUCKET="shares",
            AWS_ACCESS_KEY_ID="key-of-the-test",
            AWS_SECRET_ACCESS_KEY="secret-of-the-test",
            AWS_S3_ENDPOINT="http://s3:8333",
            MINERS_ADDRESS="127.0.0.1",
            WEB_ADDRESS="127.0.0.1",
            OPEN_FILES=min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536),
            **self.ports,
        )

    def value(self, name: str) -> str:
        """What .env says, or the file that it names."""
        found = re.search(rf"^{name}=(.*)$", self.env_file.read_text(), re.MULTILINE)
        if found and not found[1] and (file := self.value(f"{name}_FILE")):
            return (self.docker_folder / file).read_text().strip()
        return found[1] if found else ""

    def secrets(self) -> dict[str, str]:
        """By name."""
        names = re.findall(r"^([A-Z_]*(?:PASSWORD|TOKENS?|SECRET|SECRET_ACCESS_KEY))=", self.env_file.read_text(), re.M)
        return {name: value for name in names if (value := self.value(name))}

    def move_secrets_to_files(self) -> None:
        """As `env-init --files` lays them."""
        folder = self.docker_folder / "secrets"
        folder.mkdir(mode=0o700)
        for name, secret in self.secrets().items():
            if f"{name}_FILE=" in self.env_file.read_text():
                (folder / name.lower()).write_text(f"{secret}\n")
                (folder / name.lower()).chmod(0o444)
                self.set(**{name: "", f"{name}_FILE": f"./secrets/{name.lower()}"})

    def containers(self, service: str = "", *, stopped: bool = False) -> list[str]:
        """Ids, of one service or of all."""
        label = f"com.docker.compose.service={service}" if service else "com.docker.compose.project"
        more = ("--all",) if stopped else ()
        return self.engine.docker("ps", "--quiet", "--no-trunc", f"--filter=label={label}", *more).split()

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        """What the engine knows of them."""
        found: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", *containers)) if containers else []
        return found

    def health(self) -> dict[str, str]:
        """Of each running container: its health, or its state where nothing tells."""
        return {
            f"{one['Config']['Labels']['com.docker.compose.service']} {one['Id'][:6]}": one["State"]
            .get("Health", {})
            .get("Status", one["State"]["Status"])
            for one in self.inspect(*self.containers())
        }

    def all_healthy(self, proxies: int) -> bool:
        """Every service runs and is healthy, and so many proxies are there."""
        health = self.health()
        services = [name.split()[0] for name in health]
        wanted = {"s3", "demo-pool", "clickhouse", "proxy", "haproxy", "api", "dashboard", "miner"}
        return set(services) == wanted and services.count("proxy") == proxies and set(health.values()) == {"healthy"}

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a container of that service. Raises CalledProcessError."""
        return self.engine.docker("exec", self.containers(service)[0], *command)

    def rows(self, sql: str) -> list[list[Any]]:
        """The result of a query, asked from inside: nothing outside reaches ClickHouse."""
        program = (
            "import os,sys,urllib.request as u;e=os.environ;"
            "p=e['CLICKHOUSE_PASSWORD'] or open(e['CLICKHOUSE_PASSWORD_FILE']).read().strip();"
            "r=u.Request('http://clickhouse:8123/?database=sharehouse&default_format=JSONCompact',sys.argv[1].encode(),"
            "{'X-ClickHouse-User':'sharehouse','X-ClickHouse-Key':p});"
            "print(u.urlopen(r,timeout=60).read().decode())"
        )
        answer = self.execute("api", "python", "-c", program, sql)
        rows: list[list[Any]] = json.loads(answer)["data"] if answer else []
        return rows

    def api(self, path: str) -> Any:
        """The answer of the REST API, from outside."""
        return json.loads(self._page("API_PORT", path, f"Bearer {self.value('API_TOKENS')}"))

    def dashboard(self, path: str) -> str:
        """A page of the dashboard, from outside."""
        password = base64.b64encode(f"operator:{self.value('DASHBOARD_PASSWORD')}".encode()).decode()
        return self._page("DASHBOARD_PORT", path, f"Basic {password}")

    def _page(self, port: str, path: str, authorization: str) -> str:
        url = f"http://127.0.0.1:{self.ports[port]}{path}"
        request = urllib.request.Request(url, headers={"Authorization": authorization})
        with urllib.request.urlopen(request, timeout=30) as answer:
            page: bytes = answer.read()
        return page.decode()

    def pool_log(self) -> list[str]:
        """The block hash of each share that the pool accepted, from its own log."""
        text = self.execute("demo-pool", "cat", "/data/demo/accepted.log")
        return [line.split()[0] for line in text.splitlines()]

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        """Raises AssertionError where it does not come true in time. What cannot be asked yet is not true yet."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        last = ""
        while True:
            try:
                if condition():
                    return
                last = ""
            except (OSError, subprocess.SubprocessError, urllib.error.URLError, http.client.HTTPException) as error:
                last = told(error)
            except (IndexError, ValueError) as error:
                last = repr(error)
            assert time.monotonic() < deadline, f"not within {_PATIENCE_SECONDS:.0f} s: {what}. {last}"
            time.sleep(self.engine.within(0.2))
