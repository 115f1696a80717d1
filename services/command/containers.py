"""`sharehouse config check --containers`: what the services of docker/docker-compose.yml would refuse to start on.

There, nobody makes a password that is missing, and every setting stands in docker/.env.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from services.command import config_file, configuration, layers, options, storage
from services.command.data_folder import DataFolder
from services.command.mistake import Mistake, Problems
from services.command.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.command.configuration import Configuration

FILE = "docker/.env"
# scripts/env-init makes these. Tokens signed with API_JWT_SECRET are optional.
NEEDED = ("clickhouse_password", "api_tokens", "rewards_post_token", "dashboard_password")


class Storage(StrEnum):
    """STORAGE of docker/.env: where old shares go."""

    LOCAL = "local"
    S3 = "s3"


def check_containers(config: Path, where: Storage, say: Callable[[str], None]) -> None:
    """Tell all that is in force. Raises Mistake with every problem that is found, after telling what it can."""
    problems = Problems()
    file = None
    with problems.gathered():
        file = config_file.read_gathering(problems, config)
    found = configuration.read_rest(problems, file or config_file.empty(config), DataFolder(Path("/nonexistent")))
    if file is not None:
        configuration.examine_file(problems, found)
    for name in Settings.model_fields:
        say(f"{name.upper():<30} {found.loaded.shown(name):<28} {_place(found.loaded.origins[name])}")
    if found.loaded.is_sound:
        missing = _missing(found, where)
        problems.add(*missing)
        for refusing in (options.api, options.dashboard) if not missing else ():
            with problems.gathered():
                refusing(found)
        if file is not None and not problems:
            with problems.gathered():
                options.proxy(found)
            say(f"old shares: {_target(found, where)}")
    try:
        problems.tell()
    except Mistake as mistake:
        raise Mistake(*(_place(problem) for problem in mistake.problems)) from None
    say("all of it can stand")


def _place(text: str) -> str:
    """Where a person finds what reaches a container by its environment."""
    return text.replace(layers.ENVIRONMENT, FILE, 1) if text.startswith(layers.ENVIRONMENT) else text


def _missing(found: Configuration, where: Storage) -> list[str]:
    settings = found.settings
    problems = [
        f"{FILE}: {name.upper()} is empty; run scripts/env-init, which makes a random one, or set it, or let"
        f" {name.upper()}{layers.FILE_SUFFIX} name a file that holds it"
        for name in NEEDED
        if not _is_set(getattr(settings, name))
    ]
    if where is Storage.LOCAL:
        return problems
    needed = ("aws_s3_bucket", "aws_s3_prefix", "aws_access_key_id", "aws_secret_access_key")
    remedies = {"aws_s3_prefix": "run scripts/env-init, which makes one that no other server uses"}
    return problems + [
        f"{FILE}: STORAGE is s3 but {name.upper()} is empty; {remedies.get(name, 'set it')}, or set STORAGE=local"
        for name in needed
        if not _is_set(getattr(settings, name))
    ]


def _is_set(value: object) -> bool:
    """A secret is a list, a text, or a text that hides itself."""
    return bool(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def _target(found: Configuration, where: Storage) -> str:
    bucket = storage.bucket(found) if where is Storage.S3 else None
    return bucket.url if bucket else "local disk only (STORAGE is not s3)"
