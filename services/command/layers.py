"""Where a setting's value comes from: environment over `.env` over config file over what `up` made over default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from services.command.mistake import Mistake
from services.command.settings import Settings, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = "environment"
DOTENV = Path(".env")
DEFAULT = "default"
_MASK = "********"


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings by field name, and the name of the place they stand in."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and for each field the place its value came from."""

    settings: Settings
    origins: Mapping[str, str]

    def shown(self, name: str) -> str:
        """The value of a field as a person may see it: secrets masked."""
        value = getattr(self.settings, name)
        if is_secret(name):
            held = len(value) if isinstance(value, tuple) else len(value.get_secret_value())
            return (f"{_MASK} ({held})" if isinstance(value, tuple) else _MASK) if held else "(none)"
        if isinstance(value, tuple):
            return ",".join(value) or "(none)"
        return "(none)" if value is None else str(value)


def load(*below: Layer, dotenv: Path = DOTENV) -> Loaded:
    """Read the environment and `dotenv`, lay them over the layers `below` (strongest first), and validate the result.

    Raises Mistake with one sentence for each value that cannot stand: variable, place and reason.
    """
    layers = (
        Layer(ENVIRONMENT, _of_fields(EnvSettingsSource(Settings)())),
        Layer(str(dotenv), _of_fields(_read_dotenv(dotenv))),
        *below,
    )
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    for layer in reversed(layers):
        merged.update(layer.values)
        origins.update(dict.fromkeys(layer.values, layer.origin))
    try:
        return Loaded(Settings(**merged), origins)
    except ValidationError as error:
        raise Mistake(*_sentences(error, merged, origins)) from None


def unknown_names(dotenv: Path = DOTENV) -> list[str]:
    """Names in the `.env` file that are no setting: another program's, or a slip of the pen."""
    known = {name.upper() for name in Settings.model_fields}
    source = DotEnvSettingsSource(Settings, env_file=dotenv, case_sensitive=True)
    return sorted(name for name in source.env_vars if name.upper() not in known)


def _read_dotenv(path: Path) -> dict[str, Any]:
    if path.exists() and not os.access(path, os.R_OK):
        raise Mistake(f"{path}: cannot be read; give this user the right to, or remove it")
    try:
        return DotEnvSettingsSource(Settings, env_file=path)()
    except UnicodeDecodeError:
        raise Mistake(f"{path}: is not a UTF-8 text file") from None


def _of_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in Settings.model_fields}


def _sentences(error: ValidationError, merged: Mapping[str, Any], origins: Mapping[str, str]) -> list[str]:
    sentences = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        value = merged.get(name)
        shown = "" if is_secret(name) or isinstance(value, SecretStr) else f"={value}"
        reason = detail["msg"].removeprefix("Value error, ")
        sentences[name] = f"{name.upper()}{shown} ({origins[name]}): {reason[:1].lower()}{reason[1:]}"
    return list(sentences.values())
