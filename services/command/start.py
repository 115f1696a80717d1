"""What every subcommand begins with: its options, the configuration, and where its log goes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.command import configuration
from services.command.data_folder import DataFolder

Config = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="Pools, and settings that are no secrets.", show_default=True)
]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Tables, spool and secrets.", show_default=True)]


def start(service: str, config: Path, data: Path, *, need_config: bool = False) -> configuration.Configuration:
    """Read the configuration and send this process's log where the settings say."""
    from services.command import logs

    DataFolder(data).examine()
    found = configuration.load(config, data, need_config=need_config)
    settings = found.settings
    logs.configure(logs.chosen_format(settings.log_format, service), settings.log_level, service=service)
    return found
