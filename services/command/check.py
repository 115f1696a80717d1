"""`sharehouse config check`: every value in force, its origin, and all that `up` or a service alone would refuse."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from services.command import api_access, configuration, host_names, layers, options, ports, tokens
from services.command.data_folder import DataFolder
from services.command.preparation import prepare
from services.command.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.command.configuration import Configuration
    from services.command.mistake import Problems


def check(config: Path | None, data: Path, say: Callable[[str], None], *, with_demo: bool = False) -> None:
    """Tell all that is in force. Raises Mistake with every problem that is found, after telling what it can."""
    folder = DataFolder(data)
    # Where that is no folder, nothing else can be looked at.
    folder.examine()
    if config is None and folder.demo_config.exists() and not with_demo:
        say(
            f"note: {data} is the data folder of a demo, so this is what `up --demo` runs on; --config tells of another"
        )
        with_demo = True
    prepared = prepare(config or configuration.DEFAULT_CONFIG, folder, with_demo=with_demo)
    found, problems = prepared.found, prepared.problems
    for name in Settings.model_fields:
        say(f"{name.upper():<30} {found.loaded.shown(name):<28} {found.loaded.origins[name]}")
    of_validators: set[str] = set()
    with problems.gathered():
        of_validators = set(api_access.variables(found.file.path).values())
    for name in sorted(set(layers.unknown_names()) - of_validators):
        say(f"note: {layers.DOTENV} sets {name}, which is no setting of sharehouse")
    if prepared.made:
        names = ", ".join(name.upper() for name in prepared.made)
        say(f"note: nobody set {names}; `sharehouse up` makes what is missing, a service that runs alone does not")
    if prepared.plan is not None:
        for pool in prepared.plan.pools:
            with_tls = "" if pool.tls_listen is None else f" and, by TLS, {pool.tls_listen}"
            say(f"pool {pool.name}: miners on port {pool.listen}{with_tls} -> {pool.host}:{pool.port} as {pool.user}")
            for fallback in pool.fallbacks:
                say(f"pool {pool.name}: falls back to {fallback.host}:{fallback.port} as {fallback.user}")
        if (certificate := prepared.plan.configuration.tls()) is not None:
            say(f"certificate: {certificate.certificate}, its key: {certificate.key}")
        bucket = prepared.plan.bucket
        say(f"old shares: {bucket.url if bucket else 'local disk only (no AWS_S3_BUCKET is set)'}")
        for sentence in host_names.unresolved(host_names.told(prepared.plan.configuration)):
            say(f"warning: {sentence}")
    for sentence in tokens.short(found.settings):
        say(f"warning: {sentence}")
    with problems.gathered():
        _tell_limits(found, say)
    if found.loaded.is_sound:
        _examine_alone(problems, found)
    problems.tell()
    say("all of it can stand")


def _tell_limits(found: Configuration, say: Callable[[str], None]) -> None:
    limits = found.limits()
    for field in dataclasses.fields(limits):
        origin = str(found.file.path) if field.name in found.file.limits else layers.DEFAULT
        say(f"limit {field.name:<24} {getattr(limits, field.name):<28} {origin}")


def _examine_alone(problems: Problems, found: Configuration) -> None:
    """A service that runs alone gets no password from `up`, so what others can reach needs one of its own."""
    # Where ClickHouse is another machine's, it is not this project's embedded server.
    if ports.is_of_this_machine(found.settings.clickhouse_host):
        with problems.gathered():
            options.embedded(found, None)
    with problems.gathered():
        options.dashboard(found)
