"""Everything that `up` looks at before it starts anything, in memory: `config check` tells it, `up` then keeps it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.command import config_file, configuration, credentials, demo, layers, plan
from services.command.mistake import Mistake, Problems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from services.command.configuration import Configuration
    from services.command.data_folder import DataFolder
    from services.command.plan import Plan


@dataclass(frozen=True, slots=True)
class Preparation:
    """What was found, which passwords and tokens were made because nobody set them, and what cannot stand."""

    found: Configuration
    made: Mapping[str, str] = field(repr=False)
    """By field of Settings; it stands in the plan's configuration."""
    problems: Problems
    plan: Plan | None
    """None where something cannot stand."""

    def planned(self) -> Plan:
        """The plan. Raises Mistake with everything that cannot stand."""
        self.problems.tell()
        assert self.plan is not None
        return self.plan


def prepare(config: Path, folder: DataFolder, *, with_demo: bool) -> Preparation:
    """Read every source and look at all of it; writes nothing. `config` is not read for a demo."""
    problems = Problems()
    with problems.gathered():
        _keep_apart(folder, with_demo=with_demo)
    file = None
    with problems.gathered():
        file = _demo_file(problems, folder) if with_demo else config_file.read_gathering(problems, config)
    found = configuration.read_rest(problems, file or config_file.empty(config), folder)
    if file is not None:
        configuration.examine_file(problems, found)
    made = credentials.make(_missing(found))
    planned = None
    if file is not None and found.loaded.is_sound:
        complete = configuration.read_rest(problems, found.file, folder, made)
        with problems.gathered():
            planned = plan.make(complete, with_demo=with_demo)
    return Preparation(found, made, problems, None if problems else planned)


def keep(prepared: Preparation, *, with_demo: bool) -> None:
    """Write into the data folder what the next start must find again. Raises Mistake where that cannot be."""
    planned = prepared.planned()
    folder, settings = planned.configuration.data, planned.configuration.settings
    credentials.keep(folder.secrets, prepared.made)
    if planned.bucket is not None and settings.aws_s3_prefix is None:
        folder.keep_s3_prefix(planned.bucket.prefix)
    if with_demo:
        demo.write_config(folder, settings.demo_pool_port)


def _demo_file(problems: Problems, folder: DataFolder) -> config_file.ConfigFile:
    # A port that cannot stand is told with the other settings.
    port = layers.load_gathering(Problems()).settings.demo_pool_port
    return config_file.from_document(problems, folder.demo_config, tomllib.loads(demo.config_text(port)))


def _keep_apart(folder: DataFolder, *, with_demo: bool) -> None:
    """Shares of a demo must never stand among real ones."""
    is_demo = folder.demo_config.exists()
    if is_demo and not with_demo:
        raise Mistake(f"the data folder {folder.path} is that of a demo; add --demo, or name another with --data DIR")
    if with_demo and not is_demo and folder.clickhouse.exists():
        raise Mistake(
            f"the data folder {folder.path} holds shares that are not a demo's; leave --demo away, or name another"
            " with --data DIR"
        )


def _missing(found: Configuration) -> list[str]:
    """The passwords and tokens that nobody set, and that a stack on one machine needs."""
    from services.dashboard.options import is_loopback

    settings = found.settings
    missing = [name for name in ("api_tokens", "rewards_post_token") if not getattr(settings, name)]
    if not settings.clickhouse_password.get_secret_value():
        missing.append("clickhouse_password")
    # A dashboard that only this machine reaches needs none.
    has_credential = settings.dashboard_password.get_secret_value() or settings.dashboard_tokens
    if not has_credential and not is_loopback(settings.dashboard_host):
        missing.append("dashboard_password")
    return missing
