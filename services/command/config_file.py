"""`config.toml`: the pools, the limits, and any setting that is no secret."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from services.command.layers import Layer
from services.command.mistake import Mistake, Problems
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
    problems = Problems()
    file = read_gathering(problems, path)
    problems.tell()
    return file


def read_if_there(path: Path) -> ConfigFile:
    """The same for a command that needs no pool: a file that is not there is an empty one."""
    return read(path) if path.exists() else empty(path)


def empty(path: Path) -> ConfigFile:
    """A file that holds nothing."""
    return ConfigFile(path, {}, Layer(str(path), {}))


def read_gathering(problems: Problems, path: Path) -> ConfigFile:
    """What can be read of the file; what cannot stand is added to `problems`. Raises Mistake where nothing can."""
    return from_document(problems, path, _parse(path))


def from_document(problems: Problems, path: Path, document: Mapping[str, Any]) -> ConfigFile:
    """The same for TOML that was parsed already."""
    problems.add(
        *(f"{path}: {name}: unknown; there are: {', '.join(_TABLES)}" for name in document if name not in _TABLES)
    )
    tables: dict[str, dict[str, Any]] = {}
    for name in _TABLES:
        table = document.get(name, {})
        tables[name] = table if isinstance(table, dict) else {}
        if table is not tables[name]:
            problems.add(f"{path}: {name}: must be a table, [{name}]")
    layer = _settings(problems, path, tables["settings"], tables["pools"])
    return ConfigFile(path, tables["pools"], layer, tables["limits"], tables["tls"])


def _settings(problems: Problems, path: Path, table: Mapping[str, Any], pools: Mapping[str, Any]) -> Layer:
    """The settings of the file: those of [settings], and the ports that two pools may give in their own tables."""
    values, keys = {}, {}
    for name, value in table.items():
        if name not in Settings.model_fields:
            problems.add(f"{path}: settings.{name}: unknown; .env.example lists the settings, here in small letters")
        elif is_secret(name):
            problems.add(f"{path}: settings.{name}: a secret belongs in the environment or in .env ({name.upper()})")
        else:
            values[name], keys[name] = value, f"settings.{name}"
    for pool, setting in PORT_SETTINGS.items():
        of_pool = pools.get(pool)
        if not isinstance(of_pool, dict) or "listen" not in of_pool:
            continue
        if setting in values:
            problems.add(f"{path}: pools.{pool}.listen and settings.{setting} say the same thing; keep one")
        elif is_port(of_pool["listen"]):
            # What is no port is told with the rest of the pool's table.
            values[setting], keys[setting] = of_pool["listen"], f"pools.{pool}.listen"
    return Layer(str(path), values, keys)


def is_port(value: object) -> TypeGuard[int]:
    """Whether TOML's value is a whole number that can be a port."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


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
