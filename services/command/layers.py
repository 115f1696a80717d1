"""Where a setting's value comes from: environment over `.env` over config file over what `up` made over default."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from services.command import wording
from services.command.mistake import Mistake, Problems
from services.command.settings import Settings, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = "environment"
# A secret may lie in a file that a variable of its name with this ending names, as Docker and systemd hand them over.
FILE_SUFFIX = "_FILE"
DOTENV = Path(".env")
DEFAULT = "default"
_MASK = "********"
_SECRET_FILE_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings by field name, the name of the place they stand in, and what that place calls them."""

    origin: str
    values: Mapping[str, Any]
    keys: Mapping[str, str] = field(default_factory=dict)
    """By field name; NAME in capitals where it says nothing."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and for each field the place its value came from."""

    settings: Settings
    origins: Mapping[str, str]
    is_sound: bool = True
    """False where defaults stand in for values that cannot stand."""

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

    Raises Mistake with one sentence for each value that cannot stand: place, key and reason.
    """
    problems = Problems()
    loaded = load_gathering(problems, *below, dotenv=dotenv)
    problems.tell()
    return loaded


def load_gathering(problems: Problems, *below: Layer, dotenv: Path = DOTENV) -> Loaded:
    """The same; what cannot stand is added to `problems`, and the default stands in its place."""
    read: dict[str, Any] = {}
    with problems.gathered():
        read = _read_dotenv(dotenv)
    from_environment = _of_fields(EnvSettingsSource(Settings)())
    for name in filter(is_secret, Settings.model_fields):
        with problems.gathered():
            if (secret := _secret_in_file(name, is_set=name in from_environment)) is not None:
                from_environment[name] = secret
    layers = (
        Layer(ENVIRONMENT, from_environment),
        Layer(str(dotenv), _of_fields(read)),
        *below,
    )
    merged: dict[str, Any] = {}
    sources: dict[str, Layer] = {}
    for layer in reversed(layers):
        merged.update(layer.values)
        sources.update(dict.fromkeys(layer.values, layer))
    is_sound = True
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        refused = _sentences(error, merged, sources)
        problems.add(*refused.values())
        is_sound = False
        settings = Settings(**{name: value for name, value in merged.items() if name not in refused})
    origins = {name: sources[name].origin if name in sources else DEFAULT for name in Settings.model_fields}
    return Loaded(settings, origins, is_sound)


def unknown_names(dotenv: Path = DOTENV) -> list[str]:
    """Names in the `.env` file that are no setting: another program's, or a slip of the pen."""
    known = {name.upper() for name in Settings.model_fields}
    source = DotEnvSettingsSource(Settings, env_file=dotenv, case_sensitive=True)
    return sorted(name for name in source.env_vars if name.upper() not in known)


def dotenv_values(dotenv: Path = DOTENV) -> Mapping[str, str | None]:
    """All that the `.env` file sets, also what is no setting of ours."""
    return DotEnvSettingsSource(Settings, env_file=dotenv, case_sensitive=True).env_vars


def _read_dotenv(path: Path) -> dict[str, Any]:
    if path.exists() and not os.access(path, os.R_OK):
        raise Mistake(f"{path}: cannot be read; give this user the right to, or remove it")
    try:
        return DotEnvSettingsSource(Settings, env_file=path)()
    except UnicodeDecodeError:
        raise Mistake(f"{path}: is not a UTF-8 text file") from None


def _secret_in_file(name: str, *, is_set: bool) -> str | None:
    """What lies in the file that NAME_FILE names; None where it names none, or one that holds nothing."""
    variable = name.upper() + FILE_SUFFIX
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            text = file.read(_SECRET_FILE_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(
            f"{ENVIRONMENT}: {variable}: {path} cannot be read ({error}); give this user the right to"
        ) from None
    if text and is_set:
        raise Mistake(f"{ENVIRONMENT}: {name.upper()} and {variable} both hold a value; leave one of them empty")
    return text or None


def _of_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in Settings.model_fields}


def _sentences(error: ValidationError, merged: Mapping[str, Any], sources: Mapping[str, Layer]) -> dict[str, str]:
    """By field: where it stands, what it is called there, and why its value cannot stand."""
    sentences = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0])
        value, source = merged[name], sources[name]
        hidden = is_secret(name) or isinstance(value, SecretStr)
        shown = "" if hidden else wording.shown(detail["type"], value)
        reason = wording.reason(detail["type"], detail.get("ctx", {}), detail["msg"])
        sentences[name] = f"{source.origin}: {source.keys.get(name, name.upper())}: {reason}{shown}"
    return sentences
