"""Who may ask the API, beside the settings: `validator_access.toml` and `revoked_tokens.txt`, next to the config file.

Both are optional, and read again when they change, as `.env` is; see `TokenWatch`.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from services.command import configuration, credentials, layers, options
from services.command.data_folder import DataFolder
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.api.options import ApiOptions

log = structlog.get_logger()

NAMES_FILE: Final = "validator_access.toml"
REVOKED_FILE: Final = "revoked_tokens.txt"
_SECRETS: Final = ("API_TOKENS", "REWARDS_POST_TOKEN", "API_JWT_SECRET")
_MAX_BYTES: Final = 1 << 20
_ALIAS_MAX_LENGTH: Final = 128
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def variables(config: Path) -> dict[str, str]:
    """Names of environment variables that hold a validator's token, by the validator's alias. Raises Mistake."""
    path = config.parent / NAMES_FILE
    text = _text(path)
    if text is None:
        return {}
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Mistake(f"{path}: is not valid TOML: {error}") from None
    table = document.get("validators", {})
    if not isinstance(table, dict) or set(document) - {"validators"}:
        raise Mistake(f'{path}: holds one table, [validators], with lines such as Alias = "ENV_VARIABLE_NAME"')
    problems = [
        f"{path}: validators.{alias}: must be the name of an environment variable, in quotes"
        for alias, name in table.items()
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name)
    ]
    problems += [
        f"{path}: validators.{alias}: the alias must be printable, and no longer than {_ALIAS_MAX_LENGTH} characters"
        for alias in table
        if not alias.isprintable() or len(alias) > _ALIAS_MAX_LENGTH
    ]
    if problems:
        raise Mistake(*problems)
    return table


def token_names(config: Path, dotenv: Path = layers.DOTENV) -> dict[str, str]:
    """Aliases by token. Raises Mistake where a variable is not set, in the environment or in `.env`."""
    named = variables(config)
    if not named:
        return {}
    known: Mapping[str, str | None] = {**layers.dotenv_values(dotenv), **os.environ}
    held = {alias: tokens(known.get(variable) or "") for alias, variable in named.items()}
    missing = [alias for alias in named if not held[alias]]
    if missing:
        path, remedy = config.parent / NAMES_FILE, "put the token into .env, or remove this line"
        raise Mistake(*(f"{path}: validators.{alias}: {named[alias]} is not set: {remedy}" for alias in missing))
    return {token: alias for alias, own in held.items() for token in own}


def tokens(value: str) -> list[str]:
    """Those of a comma-separated list."""
    return [token for token in (one.strip() for one in value.split(",")) if token]


def revoked(config: Path) -> frozenset[str]:
    """`jti` of signed tokens that count no more: one a line, with comments behind #. Raises Mistake."""
    lines = (_text(config.parent / REVOKED_FILE) or "").splitlines()
    return frozenset(found for found in (line.partition("#")[0].strip() for line in lines) if found)


class TokenWatch:
    """Looks whether any file that tokens come from has changed; gives the API's options anew then.

    What cannot stand is logged, and what held before goes on holding.
    """

    def __init__(self, config: Path, data: Path) -> None:
        self._config = config
        self._data = data
        self._seen = self._marks()

    def __call__(self) -> ApiOptions | None:
        marks = self._marks()
        if marks == self._seen:
            return None
        self._seen = marks
        try:
            chosen = options.api(configuration.load(self._config, self._data))
        except Mistake as mistake:
            log.error("tokens_refused", problems=list(mistake.problems))
            return None
        log.info("tokens_reloaded", static=len(chosen.read_tokens) + len(chosen.admin_tokens))
        return chosen

    def _marks(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(path) for path in self._paths())

    def _paths(self) -> Iterable[Path]:
        yield from (layers.DOTENV, self._config)
        yield from (self._config.parent / name for name in (NAMES_FILE, REVOKED_FILE))
        in_files = (os.environ.get(name + layers.FILE_SUFFIX) for name in _SECRETS)
        yield from (Path(path) for path in in_files if path)
        yield from (DataFolder(self._data).secrets / name for name in credentials.FILES.values())


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _text(path: Path) -> str | None:
    """None where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise Mistake(f"{path}: larger than {_MAX_BYTES >> 20} MiB; this cannot be the right file")
        return content.decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Mistake(f"{path}: cannot be read: {error.strerror}; give this user the right to, or remove it") from None
    except UnicodeDecodeError:
        raise Mistake(f"{path}: is not a UTF-8 text file") from None
