"""`sharehouse backup ...`: copies of the whole store."""

from __future__ import annotations

from typing import Annotated

import typer

from services.command import configuration
from services.command.start import Config, Data, start

backup_app = typer.Typer(no_args_is_help=True, help="Back the store up, and restore it.")


@backup_app.command(
    "create", epilog="Examples: sharehouse backup create | sharehouse backup create before-upgrade.tar.gz"
)
def create_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A folder, or one file where it ends with .tar.gz. Default: by the time.",
            show_default=False,
        ),
    ] = None,
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Copy everything that is stored, shares on S3 too, to BACKUP_DIR (DATA/backups), beside running services."""
    from services.command.backup import create

    create(start("backup create", config, data), name, typer.echo)


@backup_app.command("restore", epilog="Example: sharehouse backup restore before-upgrade.tar.gz --data /srv/restored")
def restore_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As it lies in BACKUP_DIR (DATA/backups).")],
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Make an empty store what it was at the backup, and bring its tables up to date.

    ClickHouse runs on the empty store (sharehouse clickhouse), the proxy does not.
    """
    from services.command.backup import restore

    restore(start("backup restore", config, data), name, typer.echo)
