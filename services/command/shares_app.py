"""`sharehouse shares ...`: verify, prove and hand out what is stored."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from services.command import configuration
from services.command.start import Config, Data, start

shares_app = typer.Typer(no_args_is_help=True, help="Verify shares, prove them, hand them out.")

From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="2026-11-21, 2026-11-21T14:30 (UTC), unix seconds, or 24h ago.")
]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="Where the period ends, exclusive; written the same.")]
Worker = Annotated[str | None, typer.Option("--worker", metavar="NAME", help="Of this worker alone.")]


@shares_app.command(
    "audit",
    epilog="Examples: sharehouse shares audit | sharehouse shares audit --from 2026-11-01 --to 2026-12-01 | "
    "sharehouse shares audit --from 7d --worker account.rig1",
)
def audit_command(
    since: From = "24h",
    until: To = "now",
    worker: Worker = None,
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Verify every share of a period: ClickHouse hashes each header again, and rebuilds each merkle root.

    Prints every mismatch on stdout and how far it is on stderr. Exit code 0: all is as it says; 1: there is a mismatch;
    2: it could not be done.
    """
    from services.command.audit import audit
    from services.command.period import period

    found = start("shares audit", config, data)
    first, last = period(since, until, time.time())
    if not audit(found, first, last, worker, typer.echo, lambda text: typer.echo(text, err=True)):
        raise typer.Exit(1)


@shares_app.command(
    "export",
    epilog="Examples: sharehouse shares export --from 2026-11-01 --to 2026-12-01 november | "
    "sharehouse shares export --from 7d s3://exports/last-week",
)
def export_command(
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="An empty folder, or s3://BUCKET/PREFIX (AWS_... settings).")
    ],
    since: From = "24h",
    until: To = "now",
    worker: Worker = None,
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Write the shares of a period to Parquet files, and the jobs that prove them."""
    from services.command.export import export
    from services.command.period import period

    found = start("shares export", config, data)
    first, last = period(since, until, time.time())
    export(found, first, last, worker, destination, typer.echo)


@shares_app.command(
    "proof", epilog="Example: sharehouse shares proof 0f8fad5b-d9cb-469f-a165-70867728950e-1204 [--json]"
)
def proof_command(
    share: Annotated[str, typer.Argument(metavar="ID", help="SEGMENT-SEQ, as audit and the API print it.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Print what an outsider needs to check one share by hand: coinbase with its outputs, merkle branch, header.

    Exit code 0: everything fits; 1: something does not, and it says what; 2: there is no such share.
    """
    from services.command.proof import proof

    if not proof(start("shares proof", config, data), share, typer.echo, as_json=as_json):
        raise typer.Exit(1)
