"""The schema of a cluster on one engine, for want of a Keeper: replicated tables become plain ones, and each
Distributed table reads from one shard, which is this engine itself. Run in a process of its own.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from chdb import _chdb

from services.warehouse import cluster
from services.warehouse.migrate import migrations

CLUSTER, DATABASE = "one", "store"
# With this port the engine takes the shard for itself, and asks nobody over the network.
CONFIGURATION = """<clickhouse>
<tcp_port>9000</tcp_port>
<remote_servers><one><shard><replica><host>127.0.0.1</host><port>9000</port></replica></shard></one></remote_servers>
<storage_configuration><policies><tiered><volumes><hot><disk>default</disk></hot></volumes></tiered></policies>
</storage_configuration></clickhouse>"""
_REPLICATED = re.compile(r"ENGINE = Replicated(\w*)MergeTree\('[^']*', '[^']*'(?:, (.*?))?\)$", re.MULTILINE)


def alone(statement: str) -> str:
    """A rendered statement as one server without Keeper can run it."""
    plain = _REPLICATED.sub(
        lambda engine: f"ENGINE = {engine[1]}MergeTree" + (f"({engine[2]})" if engine[2] else ""), statement
    )
    return plain.replace(f" ON CLUSTER {CLUSTER}", "")


def main() -> None:
    """Asks each question of stdin ([sql, parameters]) of both databases, and prints both answers as JSON."""
    folder = Path(sys.argv[1])
    (folder / "configuration.xml").write_text(CONFIGURATION)
    handle: Any = _chdb.connect(f"{folder}/engine?config-file={folder}/configuration.xml")  # type: ignore[attr-defined]

    def run(sql: str, parameters: dict[str, str] | None = None) -> str:
        text: str = handle.query(sql, "TabSeparated", params=parameters or {}).bytes().decode()
        return text

    for statement in cluster.databases(DATABASE, CLUSTER):
        run(alone(statement))
    run(f"USE {DATABASE}")
    for migration in migrations():
        for statement in migration.statements:
            for rendered in cluster.rendered(statement, DATABASE, CLUSTER):
                run(f"EXPLAIN AST {rendered}")
                run(alone(rendered))
    task = json.load(sys.stdin)
    for statement in task["fill"]:
        run(statement)
    run("SET distributed_product_mode = 'global'")
    answers = []
    for sql, parameters in task["ask"]:
        both = []
        for database in (DATABASE, f"{DATABASE}_all"):
            run(f"USE {database}")
            both.append(run(sql, parameters))
        answers.append(both)
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
