"""docker-compose.cluster.yml, as far as it can be tried without images: Compose takes it, and its files agree."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from services.tests.containers.test_files import DOCKER, _run

NODES = {
    "clickhouse": ("1", "1"),
    "clickhouse-1-2": ("1", "2"),
    "clickhouse-2-1": ("2", "1"),
    "clickhouse-2-2": ("2", "2"),
}
KEEPERS = {"keeper-1", "keeper-2", "keeper-3"}


def xml(name: str) -> ElementTree.Element:
    return ElementTree.fromstring((DOCKER / "clickhouse" / name).read_text())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="there is no wheel of Compose for other processors")
def test_compose_takes_it() -> None:
    files = {"COMPOSE_FILE": "docker-compose.yml:docker-compose.cluster.yml", "COMPOSE_PROFILES": "miner"}
    done = _run(
        "docker-compose", "--env-file", ".env.example", "config", "--format", "json", CLUSTER_SECRET="s", **files
    )
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    for name, (shard, replica) in NODES.items():
        node = services[name]
        assert (node["environment"]["SHARD"], node["environment"]["REPLICA"]) == (shard, replica)
        mounted = {volume["target"]: volume["source"] for volume in node["volumes"]}
        config = mounted["/etc/clickhouse-server/config.d/sharehouse-server.xml"]
        assert Path(config) == DOCKER / "clickhouse" / "cluster.xml"
        assert mounted["/var/lib/clickhouse"] == name
        assert set(node["depends_on"]) >= KEEPERS
        # Clients outside reach none of it.
        assert "ports" not in node
    for name in ("migrate", "proxy", "api", "dashboard", "miner"):
        assert services[name]["environment"]["CLICKHOUSE_CLUSTER"] == "sharehouse"
    for name in KEEPERS:
        assert all(Path(one["source"]).is_file() for one in services[name]["volumes"] if one["type"] == "bind")


def test_the_servers_are_the_services() -> None:
    cluster = xml("cluster.xml")
    shards = cluster.findall("remote_servers/sharehouse/shard")
    hosts = [[str(host.text) for host in shard.iter("host")] for shard in shards]
    assert hosts == [["clickhouse", "clickhouse-1-2"], ["clickhouse-2-1", "clickhouse-2-2"]]
    assert {host.text for host in cluster.iterfind("zookeeper/node/host")} == KEEPERS
    raft = xml("keeper.xml").iterfind("keeper_server/raft_configuration/server/hostname")
    assert {host.text for host in raft} == KEEPERS
    # A profile that no replicated insert could do without: what is acknowledged, a majority of replicas has.
    assert xml("cluster-users.xml").findtext("profiles/default/insert_quorum") == "auto"
