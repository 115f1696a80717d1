"""The XML files of docker/docker-compose.yml, laid over those of ClickHouse's image, and read by the engine itself.

The image cannot be had here. What it brings is modelled: config.xml and users.xml as far as ours change them, and
config.d/docker_related_config.xml. The engine's Python package merges config.d and users.d as the server does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from services.warehouse.embedded import backups
from services.warehouse.embedded.configuration import GRANTS

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
ETC = "/etc/clickhouse-server/"
CONFIG = """<clickhouse>
    <path>{data}/</path><users_config>{etc}/users.xml</users_config>
    <logger><level>trace</level><log>/var/log/c.log</log><errorlog>/var/log/e.log</errorlog></logger>
    <http_port>8123</http_port><tcp_port>9000</tcp_port><mysql_port>9004</mysql_port>
    <postgresql_port>9005</postgresql_port><interserver_http_port>9009</interserver_http_port>
    <metric_log><database>system</database><table>metric_log</table></metric_log>
    <query_log><database>system</database><table>query_log</table><partition_by>toYYYYMM(event_date)</partition_by>
    </query_log>
</clickhouse>"""
IMAGE = """<clickhouse>
    <listen_host>::</listen_host><listen_host>0.0.0.0</listen_host><listen_try>1</listen_try>
    <logger><console>true</console><log remove="remove"/><errorlog remove="remove"/></logger>
</clickhouse>"""
USERS = """<clickhouse>
    <profiles><default/></profiles><quotas><default/></quotas>
    <users><default><password></password><networks><ip>::/0</ip></networks><profile>default</profile>
    <quota>default</quota></default></users>
</clickhouse>"""
ASK = """
import sys
from chdb.session import Session
session = Session(f"{sys.argv[1]}?config-file={sys.argv[2]}")
for sql in sys.argv[3:]:
    print(str(session.query(sql, "JSONCompactEachRow")).replace("\\n", ",").rstrip(","), flush=True)
session.close()
"""
ENVIRONMENT = {
    # The engine's package signs in as `default`, which has no password.
    "CLICKHOUSE_PASSWORD": "",
    "STORAGE_S3_ENDPOINT": "http://127.0.0.1:1/bucket/prefix/",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "CLUSTER_SECRET": "secret",
    "SHARD": "1",
    "REPLICA": "2",
}


def _files(overlay: str | None, storage: str) -> dict[str, str]:
    """Of what is mounted in /etc/clickhouse-server: the path below it, and the text."""
    volumes = yaml.safe_load((DOCKER / "docker-compose.yml").read_text())["services"]["clickhouse"]["volumes"]
    if overlay:
        volumes += yaml.safe_load((DOCKER / overlay).read_text())["services"]["clickhouse"]["volumes"]
    mounted = [volume.replace("${STORAGE:-local}", storage).removesuffix(":ro").split(":") for volume in volumes]
    return {path.removeprefix(ETC): (DOCKER / file).read_text() for file, path in mounted if path.startswith(ETC)}


def _ask(folder: Path, files: dict[str, str], *statements: str) -> list[list[list[str]]]:
    etc, data = folder / "etc", folder / "data"
    brought = {"config.xml": CONFIG, "config.d/docker_related_config.xml": IMAGE, "users.xml": USERS}
    for path, text in {**brought, **files}.items():
        (etc / path).parent.mkdir(parents=True, exist_ok=True)
        text = text.replace("{data}", str(data)).replace("{etc}", str(etc)).replace("/var/lib/clickhouse", str(data))
        if path.startswith("users.d/"):
            # Nobody else can sign in here.
            assert '<default remove="remove"/>' in text
            text = text.replace('<default remove="remove"/>', "")
            text = text.replace("<sharehouse>", '<default replace="replace">').replace("</sharehouse>", "</default>")
        (etc / path).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(folder / "store"), str(etc / "config.xml"), *statements],
        env={"PATH": os.environ["PATH"], **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(f"[{line}]") for line in done.stdout.splitlines()]


def _names(grants: str) -> set[str]:
    return {name.strip() for name in grants.split(",")}


@pytest.mark.parametrize("storage", ["local", "s3"])
@pytest.mark.parametrize("overlay", [None, "docker-compose.cluster.yml"], ids=["alone", "cluster"])
def test_the_engine_takes_them(storage: str, overlay: str | None, tmp_path: Path) -> None:
    disks, policies, grants, ratio = _ask(
        tmp_path,
        _files(overlay, storage),
        "SELECT name, path FROM system.disks ORDER BY name",
        "SELECT volume_name FROM system.storage_policies WHERE policy_name = 'tiered' ORDER BY volume_priority",
        "SHOW GRANTS",
        "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage_to_ram_ratio'",
    )
    assert ["backups", f"{tmp_path}/data/backups/"] in disks
    assert [name for (name,) in policies] == (["hot", "cold"] if storage == "s3" else ["hot"])
    assert ratio == [["0.8"]]
    held = {name for (line,) in grants for name in _names(re.findall(r"GRANT (.+) ON \*\.\* TO", line)[0])}
    # The rights that the embedded server's tests hold every statement of ours against, and DISK for backups.
    assert held == {*GRANTS, "BACKUP", "DISK"} | ({"CLUSTER", "REMOTE"} if overlay else set())


def test_the_rights_are_those_of_the_embedded_server() -> None:
    granted = re.findall(r"<query>(.+)</query>", (ROOT / "config" / "clickhouse" / "users.xml").read_text())
    assert granted == [f"GRANT {', '.join(GRANTS)} ON *.*", *backups.GRANTS]
