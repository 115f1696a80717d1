"""The `[tls]` table of config.toml: the certificate of every pool's `tls_listen`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.command.config_file import ConfigFile
    from services.command.pools import PoolListener
    from services.proxy.options import TlsOptions

_KEYS = ("certificate", "key")


def parse(config: ConfigFile, listeners: Iterable[PoolListener]) -> TlsOptions | None:
    """Certificate and key, None where there is no table. Relative paths start at the config file's folder.

    Raises Mistake with one sentence (file, key, reason) for each thing that cannot stand, files that cannot serve too.
    """
    from services.proxy.certificate import CertificateError, load
    from services.proxy.options import TlsOptions

    table = config.tls
    if not table:
        if listener := next((listener for listener in listeners if listener.by_tls), None):
            remedy = f"add [tls] with {' and '.join(_KEYS)}"
            raise Mistake(f"{config.path}: {listener.key}: needs a certificate; {remedy}")
        return None
    problems = [
        f"{config.path}: tls.{name}: unknown; there are: {', '.join(_KEYS)}" for name in table if name not in _KEYS
    ]
    problems += [
        f"{config.path}: tls.{name}: must be a file's name in quotes"
        for name in _KEYS
        if not isinstance(table.get(name), str) or not table[name] or "\0" in table[name]
    ]
    if problems:
        raise Mistake(*problems)
    options = TlsOptions(*(config.path.parent / table[name] for name in _KEYS))
    try:
        load(options)
    except CertificateError as error:
        raise Mistake(f"{config.path}: tls.{error.part}: {error}") from None
    return options
