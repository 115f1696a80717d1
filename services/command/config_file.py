"""`config.toml`: the pools, the limits, and any setting that is no secret."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.command.layers import Layer
from services.command.mistake import Mistake
from services.command.settings import Settings, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 1 << 20
# The two pools whose ports have settings of their own.
PORT_SETTINGS = {"normal": "proxy_port", "high_diff": "proxy_port_high"}
_TABLES = ("pools", "tls", "limits", "settings")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One parsed file: its pools, limits and TLS files as they stand there, and its settings as a layer."""

    path: Path
    pools: Mapping[str, Any]
    layer: Layer
    limits: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict)


def read(path: Path) -> ConfigFile:
    """Parse the file. Raises Mistake that names file, key and reason; `pools`, `limits` and `tls` look into theirs."""
    document = _parse(path)
    problems = [f"{path}: {name}: unknown; there are: {', '.join(_TABLES)}" for name in document if name not in _TABLES]
    tables = {name: document.get(name, {}) for name in _TABLES}
    problems += [
        f"{path}: {name}: must be a table, [{name}]" for name, table in tables.items() if not isinstance(table, dict)
    ]
    if problems:
        raise Mistake(*problems)
    values = _settings(path, tables["settings"])
    for pool, setting in PORT_SETTINGS.items():
        table = tables["pools"].get(pool)
        if isinstance(table, dict) and "listen" in table:
            if setting in values:
                raise Mistake(f"{path}: pools.{pool}.listen and settings.{setting} say the same thing; keep one")
            values[setting] = table["listen"]
    return ConfigFile(path, tables["pools"], Layer(str(path), values), tables["limits"], tables["tls"])


def read_if_there(path: Path) -> ConfigFile:
    """The same for a command that needs no pool: a file that is not there is an empty one."""
    return read(path) if path.exists() else ConfigFile(path, {}, Layer(str(path), {}))


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Mistake(f"{path}: no such file; name the right one with --config FILE") from None
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}; name a readable file with --config FILE") from None
    if len(content) > MAX_BYTES:
        raise Mistake(f"{path}: larger than {MAX_BYTES >> 20} MiB; this cannot be the right file")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise Mistake(f"{path}: not a UTF-8 text file") from None
    except tomllib.TOMLDecodeError as error:
        raise Mistake(f"{path}: not TOML: {error}") from None


def _settings(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    problems = []
    for name in table:
        if name not in Settings.model_fields:
            problems.append(f"{path}: settings.{name}: unknown; .env.example lists the settings, here in small letters")
        elif is_secret(name):
            problems.append(f"{path}: settings.{name}: a secret belongs in the environment or in .env ({name.upper()})")
    if problems:
        raise Mistake(*problems)
    return dict(table)
