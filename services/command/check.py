"""`sharehouse config check`: every value in force, its origin, and what cannot stand."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from services.command import configuration, layers, storage
from services.command.mistake import Mistake
from services.command.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def check(config: Path, data: Path, say: Callable[[str], None]) -> None:
    """Tell all that is in force. Raises Mistake with every problem that is found, after telling what it can."""
    found = configuration.load(config, data)
    for name in Settings.model_fields:
        say(f"{name.upper():<30} {found.loaded.shown(name):<28} {found.loaded.origins[name]}")
    for name in layers.unknown_names():
        say(f"note: {layers.DOTENV} sets {name}, which is no setting of sharehouse")
    problems: list[str] = []
    try:
        for pool in configuration.load(config, data, need_config=True).pools():
            with_tls = "" if pool.tls_listen is None else f" and, by TLS, {pool.tls_listen}"
            say(f"pool {pool.name}: miners on port {pool.listen}{with_tls} -> {pool.host}:{pool.port} as {pool.user}")
            for fallback in pool.fallbacks:
                say(f"pool {pool.name}: falls back to {fallback.host}:{fallback.port} as {fallback.user}")
        if (certificate := configuration.load(config, data, need_config=True).tls()) is not None:
            say(f"certificate: {certificate.certificate}, its key: {certificate.key}")
    except Mistake as mistake:
        problems += mistake.problems
    try:
        limits = found.limits()
        for field in dataclasses.fields(limits):
            origin = str(found.file.path) if field.name in found.file.limits else layers.DEFAULT
            say(f"limit {field.name:<24} {getattr(limits, field.name):<28} {origin}")
    except Mistake as mistake:
        problems += mistake.problems
    try:
        bucket = storage.bucket(found)
        say(f"old shares: {bucket.url if bucket else 'local disk only (no AWS_S3_BUCKET is set)'}")
    except Mistake as mistake:
        problems += mistake.problems
    if problems:
        raise Mistake(*problems)
