"""The `sharehouse` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.command import configuration
from services.command.backup_app import backup_app
from services.command.containers import Storage, check_containers
from services.command.mistake import EXIT_MISTAKE, Mistake
from services.command.shares_app import shares_app
from services.command.start import Config, Data
from services.command.start import start as _start

if TYPE_CHECKING:
    from services.proxy.options import ProxyOptions

# The name that the miner's document promises, in the working directory.
BLOCK_FILE = Path("found_blocks/pool_merge_mining_blocks.json")

app = typer.Typer(
    name="sharehouse",
    help="A Stratum mining proxy that keeps, proves and serves every share.",
    epilog="Settings come from the environment, then .env, then the config file; .env.example explains each. "
    "To try everything on this machine: sharehouse up --demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")
db_app = typer.Typer(no_args_is_help=True, help="Look after ClickHouse's tables.")
s3_app = typer.Typer(no_args_is_help=True, help="Look after the bucket for old shares.")
storage_app = typer.Typer(no_args_is_help=True, help="See where the shares lie.")
spool_app = typer.Typer(no_args_is_help=True, help="Look after shares that are not in ClickHouse yet.")
app.add_typer(config_app, name="config")
app.add_typer(db_app, name="db")
app.add_typer(s3_app, name="s3")
app.add_typer(storage_app, name="storage")
app.add_typer(spool_app, name="spool")
app.add_typer(shares_app, name="shares")
app.add_typer(backup_app, name="backup")

OptionalConfig = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Default: config/config.toml.")]
OptionalData = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Default: data, and data/demo with --demo.")
]


@app.command(
    "up",
    epilog="Examples: sharehouse up --demo | sharehouse up --config config/config.toml --data /srv/sharehouse",
)
def up_command(
    demo: Annotated[
        bool, typer.Option("--demo", help="With a small pool and a miner on this machine, in a data folder of its own.")
    ] = False,
    config: OptionalConfig = None,
    data: OptionalData = None,
) -> None:
    """Run the whole stack on this machine until Ctrl-C: ClickHouse, proxy, API and dashboard.

    SIGHUP is handed on to the proxy, which reads its configuration anew, as it does when the config file has changed.
    """
    from services.command.up import up

    _refuse_config_beside_demo(config, demo=demo)
    code = up(config or configuration.DEFAULT_CONFIG, _data_folder(data, demo=demo), with_demo=demo)
    raise typer.Exit(code)


@app.command("clickhouse", epilog="Example: CLICKHOUSE_PORT=8124 sharehouse clickhouse --data /srv/sharehouse")
def clickhouse_command(config: Config = configuration.DEFAULT_CONFIG, data: Data = configuration.DEFAULT_DATA) -> None:
    """Run the embedded ClickHouse server alone."""
    from services.command import cold_bucket, options, storage
    from services.command.run import run

    found = _start("clickhouse", config, data)
    bucket = storage.bucket(found)
    chosen = options.embedded(found, bucket)
    found.data.create()
    if bucket is not None:
        if found.settings.aws_s3_prefix is None:
            found.data.keep_s3_prefix(bucket.prefix)
        cold_bucket.ColdBucket(bucket, found.data).keep()
        # The storage file reads these, here as in clickhouse-server.
        os.environ.update(bucket.environment())
    from services.warehouse.embedded.server import serve

    run(serve(chosen))


@app.command("proxy", epilog="Example: PROXY_PORT=3333 sharehouse proxy --config config/config.toml --workers 2")
def proxy_command(
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=64, help="Processes on the same ports.", show_default="1"),
    ] = None,
    worker: Annotated[int | None, typer.Option("--worker", hidden=True)] = None,
    probes: Annotated[Path | None, typer.Option("--probes", hidden=True)] = None,
) -> None:
    """Run the proxy alone: miners in, pools out, every share into the spool and on to ClickHouse.

    It reads its configuration anew on SIGHUP, and when the config file has changed; no miner is dropped for that.
    """
    from services.command import options
    from services.command.run import run

    found = _start("proxy" if worker is None else f"proxy/{worker}", config, data, need_config=True)
    chosen = options.proxy(found)
    found.data.create()
    count = workers or found.settings.proxy_workers
    if worker is None and count > 1:
        from services.command import crew, plan, ports

        # Before the processes start: they would share a port with a stranger of the same user without a word.
        ports.check(plan.proxy_listeners(found), patience_seconds=5)
        run(crew.serve(crew.command(config, data, count), count, chosen.metrics_host, chosen.metrics_port))
        return
    from services.command.proxy_service import reloading, serve_watching

    def of_this_process(chosen: ProxyOptions) -> ProxyOptions:
        return chosen if worker is None or probes is None else chosen.for_worker(worker, count, probes)

    reloads = reloading(config, data, of_this_process)
    service = serve_watching(of_this_process(chosen), reloads, config)
    run(service, on_hangup=lambda: reloads.ask("signal"))


@app.command("api", epilog="Example: API_HOST=0.0.0.0 API_TOKENS=... sharehouse api")
def api_command(config: Config = configuration.DEFAULT_CONFIG, data: Data = configuration.DEFAULT_DATA) -> None:
    """Run the REST API alone.

    Tokens are read anew when .env, validator_access.toml, revoked_tokens.txt or the secrets in DATA change.
    """
    from services.command import api_access, options, tokens
    from services.command.run import run

    found = _start("api", config, data)
    chosen = options.api(found)
    tokens.warn(found.settings, "api_tokens", "rewards_post_token")
    from services.api.server import serve
    from services.command.schema_watch import with_schema_watch

    run(with_schema_watch(serve(chosen, api_access.TokenWatch(config, data)), options.address(found)))


@app.command("dashboard", epilog="Example: DASHBOARD_PORT=5001 sharehouse dashboard")
def dashboard_command(config: Config = configuration.DEFAULT_CONFIG, data: Data = configuration.DEFAULT_DATA) -> None:
    """Run the dashboard alone."""
    from services.command import options, tokens
    from services.command.run import run

    found = _start("dashboard", config, data)
    chosen = options.dashboard(found)
    tokens.warn(found.settings, "dashboard_tokens")
    from services.command.schema_watch import with_schema_watch
    from services.dashboard.server import serve

    run(with_schema_watch(serve(chosen), options.address(found)))


@app.command(
    "miner",
    epilog="Examples: MINING_POOL_HOST=127.0.0.1 MINING_POOL_PORT=3331 MINING_ADDRESS=me.rig sharehouse miner | "
    "sharehouse miner --benchmark",
)
def miner_command(
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
    blocks: Annotated[Path, typer.Option("--blocks", metavar="FILE", help="Found blocks, as JSON.")] = BLOCK_FILE,
    chains: Annotated[str, typer.Option("--chains", metavar="LIST", help="What to mine.")] = "btc,rollpow,tetra",
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, max=1024, help="Default: one for each processor.")
    ] = None,
    intensity: Annotated[
        float | None,
        typer.Option(
            "--intensity",
            metavar="PERCENT",
            min=1,
            max=100,
            help="Of the time that threads work. Default: 100, or what a container's limit pays for.",
        ),
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Take only the processor time that others leave (Linux).")
    ] = False,
    calm: Annotated[bool, typer.Option("--calm", help="No lines about each job and each share.")] = False,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Measure this machine for some seconds, and end.")
    ] = False,
) -> None:
    """Run the merge miner: Bitcoin, RollPoW and Tetra-PoW in one pass; its blocks go to a file and to ClickHouse."""
    from services.command import mining
    from services.command.run import run

    effort = mining.effort(chains, threads, intensity, in_background=background)
    if benchmark:
        from services.miner.benchmark import benchmark as measure

        measure(effort, typer.echo)
        return
    found = _start("miner", config, data)
    found.data.create()
    if calm:
        mining.be_calm()
    run(mining.mine(found, blocks, effort))


@app.command("demo-pool", epilog="Example: DEMO_POOL_PORT=13333 sharehouse demo-pool --data /tmp/demo")
def demo_pool_command(
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")] = "127.0.0.1",
) -> None:
    """Run the demo pool alone: a small solo pool on a synthetic chain."""
    from services.command import options
    from services.command.run import run

    found = _start("demo-pool", config, data)
    found.data.create()
    chosen = options.demo_pool(found, host)
    from services.demo.server import serve

    run(serve(chosen))


@config_app.command(
    "check",
    epilog="Examples: sharehouse config check | sharehouse config check --demo | "
    "sharehouse config check --config config/config.toml --data /srv/sharehouse",
)
def config_check(
    demo: Annotated[bool, typer.Option("--demo", help="What `up --demo` would run on.")] = False,
    config: OptionalConfig = None,
    data: OptionalData = None,
    containers: Annotated[
        Storage | None,
        typer.Option("--containers", help="What docker/docker-compose.yml runs on, with STORAGE=local or s3."),
    ] = None,
) -> None:
    """Print every value in force and where it comes from, secrets masked; refuse all that `up` or a service refuses."""
    from services.command.check import check

    _refuse_config_beside_demo(config, demo=demo)
    if containers is not None:
        check_containers(config or configuration.DEFAULT_CONFIG, containers, typer.echo)
        return
    check(config, _data_folder(data, demo=demo), typer.echo, with_demo=demo)


@db_app.command("migrate", epilog="Example: CLICKHOUSE_HOST=db.internal sharehouse db migrate")
def db_migrate(config: Config = configuration.DEFAULT_CONFIG, data: Data = configuration.DEFAULT_DATA) -> None:
    """Bring ClickHouse's tables up to date, and set when shares go to S3. Safe to run at any time, and twice."""
    from services.command.database import migrate

    migrate(_start("db migrate", config, data), typer.echo)


@s3_app.command(
    "check",
    epilog="Examples: AWS_S3_ENDPOINT=http://127.0.0.1:8333 sharehouse s3 check | sharehouse s3 check --create",
)
def s3_check(
    create: Annotated[bool, typer.Option("--create", help="Make the bucket first, where it is missing.")] = False,
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Write, read, list and delete a small object where old shares will go."""
    from services.command import storage

    bucket = storage.bucket(configuration.load(config, data))
    if bucket is None:
        raise Mistake("AWS_S3_BUCKET is not set, so shares stay on the local disk; set it to use S3")
    if create:
        storage.create(bucket, typer.echo)
    storage.check(bucket, typer.echo)


@storage_app.command("status", epilog="Example: CLICKHOUSE_HOST=db.internal sharehouse storage status")
def storage_status(config: Config = configuration.DEFAULT_CONFIG, data: Data = configuration.DEFAULT_DATA) -> None:
    """Print where the shares lie, by day and volume, how small they are, and what has yet to move to S3."""
    from services.command.storage_report import report

    report(_start("storage status", config, data), typer.echo)


@spool_app.command(
    "ship", epilog="Example: CLICKHOUSE_HOST=db.internal sharehouse spool ship /mnt/dead-replica/data/spool"
)
def spool_ship(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The spool, or the data folder that it lies in.")],
    config: Config = configuration.DEFAULT_CONFIG,
    data: Data = configuration.DEFAULT_DATA,
) -> None:
    """Ship what a process that is gone left in its spool, such as a replica's whose machine died. Safe to repeat.

    A proxy ships what others left in its own spool folder by itself; this is for a folder that no proxy runs on.
    """
    from services.command.spool import ship

    ship(_start("spool ship", config, data), folder, typer.echo)


def _refuse_config_beside_demo(config: Path | None, *, demo: bool) -> None:
    if demo and config is not None:
        raise Mistake("--demo runs on a config file of its own; leave --config away, or --demo")


def _data_folder(data: Path | None, *, demo: bool) -> Path:
    # Shares of the demo must never stand among real ones.
    return data or (configuration.DEFAULT_DATA / "demo" if demo else configuration.DEFAULT_DATA)


def main() -> None:
    """Entry point. What a person got wrong ends with one line for each problem and exit code 2."""
    # What the services write (shares, tables, blocks) is this user's alone.
    os.umask(0o077)
    try:
        app(prog_name="sharehouse")
    except Mistake as mistake:
        for problem in mistake.problems:
            print(f"sharehouse: {problem}", file=sys.stderr)  # noqa: T201 - the voice of the command
        sys.exit(EXIT_MISTAKE)
    except KeyboardInterrupt:
        sys.exit(130)
