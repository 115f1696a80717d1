"""The files of docker/: what linters and Compose itself say of them, and that they agree with the rest."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from services.command.settings import Settings, is_secret

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
COMPOSE = (DOCKER / "docker-compose.yml").read_text()
ENV = (DOCKER / ".env.example").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
OTHERS = {"s3", "prometheus", "grafana"}
# Their values are Compose's own matter, or scripts'.
OF_COMPOSE = {"COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_FILE"}


def _run(tool: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sysconfig.get_path("scripts")) / tool), *arguments]
    environment = {"PATH": os.environ["PATH"], **more}
    return subprocess.run(command, cwd=DOCKER, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_hadolint_finds_nothing() -> None:
    done = _run("hadolint", "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="there is no wheel of Compose for other processors")
@pytest.mark.parametrize("files", ["docker-compose.yml", "docker-compose.yml:docker-compose.embedded.yml"])
def test_compose_takes_the_files(files: str) -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    settings = {"COMPOSE_FILE": files, "COMPOSE_PROFILES": ",".join(sorted(profiles))}
    done = _run("docker-compose", "--env-file", ".env.example", "config", "--format", "json", **settings)
    assert done.returncode == 0, done.stderr
    taken = yaml.safe_load(done.stdout)["services"]
    assert set(taken) == set(SERVICES)


def test_every_variable_is_explained_and_every_explained_one_used() -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", COMPOSE))
    explained = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", ENV, re.MULTILINE))
    assert used == explained - OF_COMPOSE


def test_the_defaults_that_are_shown_are_those_in_force() -> None:
    shown = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.+)$", ENV, re.MULTILINE))
    in_force = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]+)\}", COMPOSE))
    settings = Settings()
    for name, value in shown.items():
        if name in OF_COMPOSE:
            continue
        default = in_force.get(name)
        if default is None:  # left to the service
            default = str(getattr(settings, name.lower()))
            value = value if not value.replace(".", "").isdigit() else str(float(value))
            default = default if not default.replace(".", "").isdigit() else str(float(default))
        assert value == default, name


def test_secrets_are_empty_and_can_lie_in_files() -> None:
    lines = dict(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$", ENV, re.MULTILINE))
    handed = {name for name in Settings.model_fields if is_secret(name) and name.upper() in lines}
    for name in handed - {"mining_password"}:
        assert lines[name.upper()] == "", name
    files = set(yaml.safe_load(COMPOSE)["secrets"])
    # Grafana's is no setting of ours.
    assert files == handed - {"mining_password", "aws_access_key_id"} | {"grafana_password"}
    for name, service in SERVICES.items():
        given = {key.removesuffix("_FILE").lower() for key in service.get("environment", {}) if key.endswith("_FILE")}
        assert given == set(service.get("secrets", ())), name


def test_every_service_is_held_short() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name
        assert "mem_limit" in service, name
        assert service["restart"] == ("no" if name in ("check", "migrate") else "unless-stopped"), name


def test_nothing_starts_before_the_check() -> None:
    waits = {name for name, service in SERVICES.items() if "check" in service.get("depends_on", {})}
    behind = {"migrate": "clickhouse", "haproxy": "proxy", "miner": "haproxy"}
    assert waits | set(behind) == set(SERVICES) - {"check", "demo-pool"} - OTHERS
    assert all(before in SERVICES[name]["depends_on"] for name, before in behind.items())


def test_only_these_are_published() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"haproxy", "api", "dashboard", "grafana"}


def test_clickhouse_is_the_version_of_the_engine_in_the_lock() -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text()
    engine = re.search(r"^chdb-core==(\d+\.\d+)\.", lock, re.MULTILINE)
    image = re.search(r"clickhouse/clickhouse-server:\$\{CLICKHOUSE_VERSION:-([0-9.]+)\}", COMPOSE)
    assert engine and image and engine[1] == image[1]


def test_the_xml_files_are_well_formed() -> None:
    for file in (ROOT / "config" / "clickhouse").glob("*.xml"):
        assert ElementTree.parse(file).getroot().tag == "clickhouse"


def test_every_image_has_a_lock_in_the_versions_that_were_tested() -> None:
    pinned = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
    tested = dict(pinned.findall((ROOT / "requirements" / "dev.txt").read_text()))
    locks = list((ROOT / "requirements" / "images").glob("*.txt"))
    targets = set(re.findall(r"^FROM runtime AS ([a-z-]+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    assert {lock.stem for lock in locks} == targets | {"build", "command"}
    for lock in locks:
        pins = dict(pinned.findall(lock.read_text()))
        pins.pop("dumb-init", None)
        assert pins.items() <= tested.items(), lock.name
        if lock.stem != "clickhouse":
            assert not {"chdb-core", "pandas", "pyarrow"} & set(pins)
