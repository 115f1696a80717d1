"""A backup of the running stack, restored as docs/SETUP.md says, after everything that it held is gone.

It is restored into the embedded ClickHouse, which takes the same backups, by docker-compose.embedded.yml.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from services.tests.containers.checks import comes_up

if TYPE_CHECKING:
    from services.tests.containers.composed import Composed

_NAME = "before-the-loss.tar.gz"


def is_restored(stack: Composed) -> int:
    """The same shares, old ones on S3 too; the new ones pass an audit, and the stack works on with them."""
    before = _shares(stack)
    _sharehouse(stack, "backup", "create", _NAME)
    _shell(stack, f"exec -T clickhouse cat /var/lib/clickhouse/backups/{_NAME} > {_NAME}")
    stack.compose("down", "--volumes")

    stack.set(COMPOSE_FILE="docker-compose.yml:docker-compose.embedded.yml")
    stack.compose("up", "--detach", "s3", "clickhouse")
    stack.eventually(lambda: set(stack.health().values()) == {"healthy"}, "ClickHouse is healthy")
    _shell(stack, f"exec -T clickhouse sh -c 'cat > /data/backups/{_NAME}' < {_NAME}")
    _sharehouse(stack, "backup", "restore", _NAME)
    audit = _sharehouse(stack, "shares", "audit", "--from", "24h")
    assert "every share is as it says" in audit, audit
    comes_up(stack)
    missing = before - _shares(stack)
    assert not missing, f"{len(missing)} of {len(before)} shares did not come back"
    return len(before)


def _shares(stack: Composed) -> set[tuple[str, str]]:
    return {(label, block_hash) for label, block_hash in stack.rows("SELECT pool_label, block_hash FROM shares")}


def _sharehouse(stack: Composed, *arguments: str) -> str:
    return stack.compose("run", "--rm", "--no-deps", "migrate", *arguments)


def _shell(stack: Composed, command: str) -> None:
    """As a person types it after `docker-compose`, with < and >."""
    stack.engine.run(
        ["sh", "-c", f"{shlex.join(stack.command)} {command}"], folder=stack.docker_folder, timeout_seconds=120
    )
