"""The `[pools.NAME]` tables of config.toml: what each may hold, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from services.command import vardiff
from services.command.config_file import PORT_SETTINGS, ConfigFile, is_port
from services.command.mistake import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from services.command.settings import Settings
    from services.proxy.vardiff import VardiffOptions

_REQUIRED = ("host", "port", "user", "pass")
_OPTIONAL = ("listen", "tls_listen", "tls", "mode", "fallbacks", "vardiff", "reconnect_hosts")
_OPTIONAL_OF_FALLBACK = ("tls",)
_MOST_FALLBACKS = 8
_MOST_RECONNECT_HOSTS = 32
_MODES = ("dedicated", "shared")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
# What the document's example file holds, and the domains that RFC 2606 keeps out of use.
_PLACEHOLDER_HOST = re.compile(r"(^|\.)(stratum\.pool\.com|example\.(com|net|org)|example)$", re.IGNORECASE)
_PLACEHOLDER_USER = re.compile(r"your_|your-|<.*>|changeme|change_me", re.IGNORECASE)
_TEXT_MAX_BYTES = 256


@dataclass(frozen=True, slots=True)
class Fallback:
    """Another address of a pool."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool as the operator configured it. `user` may hold `{worker}`; `fallbacks` are tried in order."""

    name: str
    listen: int
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls_listen: int | None = None
    fallbacks: tuple[Fallback, ...] = ()
    tls: bool = False
    mode: Literal["dedicated", "shared"] = "dedicated"
    vardiff: VardiffOptions | None = None
    reconnect_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolListener:
    """A port on which miners reach a pool, and the key that says so."""

    pool: str
    key: str
    port: int
    by_tls: bool


def parse(config: ConfigFile, settings: Settings) -> tuple[Pool, ...]:
    """The pools of the file, in its order; `normal` and `high_diff` listen where the settings say.

    Raises Mistake with one sentence (file, key, reason) for each thing that cannot stand.
    """
    if found := problems(config):
        raise Mistake(*found, *_shared_ports(config.path, listeners(config, settings)))
    pools = tuple(_pool(name, table, settings) for name, table in config.pools.items())
    if clashes := _shared_ports(config.path, listeners(config, settings)):
        raise Mistake(*clashes)
    return pools


def problems(config: ConfigFile) -> list[str]:
    """What cannot stand in the tables themselves, whatever the settings are."""
    if not config.pools:
        return [f"{config.path}: pools: there is no pool; add [pools.normal] with {', '.join(_REQUIRED)}"]
    return [f"{config.path}: {problem}" for name, table in config.pools.items() for problem in _problems(name, table)]


def listeners(config: ConfigFile, settings: Settings) -> list[PoolListener]:
    """Where miners of each pool connect, whatever else cannot stand in its table; what is no port is left out."""
    return [
        PoolListener(name, f"pools.{name}.{part}", port, by_tls=part == "tls_listen")
        for name, table in config.pools.items()
        if isinstance(table, dict) and _NAME.fullmatch(name)
        for part, port in (("listen", _listen(name, table, settings)), ("tls_listen", table.get("tls_listen")))
        if is_port(port)
    ]


def _listen(name: str, table: Mapping[str, Any], settings: Settings) -> Any:
    setting = PORT_SETTINGS.get(name)
    return getattr(settings, setting) if setting else table.get("listen")


def _pool(name: str, table: Mapping[str, Any], settings: Settings) -> Pool:
    fallbacks = tuple(
        Fallback(fallback["host"], fallback["port"], fallback["user"], fallback["pass"], fallback.get("tls", False))
        for fallback in table.get("fallbacks", ())
    )
    return Pool(
        name,
        _listen(name, table, settings),
        table["host"],
        table["port"],
        table["user"],
        table["pass"],
        tls_listen=table.get("tls_listen"),
        fallbacks=fallbacks,
        tls=table.get("tls", False),
        mode=table.get("mode", "dedicated"),
        vardiff=vardiff.parse(table["vardiff"]) if "vardiff" in table else None,
        reconnect_hosts=tuple(table.get("reconnect_hosts", ())),
    )


def _problems(name: str, table: Any) -> list[str]:
    key = f"pools.{name}"
    if not _NAME.fullmatch(name):
        return [f"{key}: a pool's name is 1 to 32 letters, digits, _ or -"]
    if name == "all":
        return [f"{key}: this name is taken: it means all pools together in the API"]
    if not isinstance(table, dict):
        return [f"{key}: must be a table, [{key}]"]
    required = _REQUIRED if name in PORT_SETTINGS else (*_REQUIRED, "listen")
    rest = {part: value for part, value in table.items() if part not in ("fallbacks", "vardiff")}
    problems = _table_problems(key, rest, required, _REQUIRED + _OPTIONAL) + _fallbacks_problems(key, table)
    if "vardiff" in table:
        problems += vardiff.problems(f"{key}.vardiff", table["vardiff"], table.get("mode", "dedicated"))
    return problems


def _table_problems(key: str, table: Mapping[str, Any], required: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    problems = [f"{key}.{part}: missing" for part in required if part not in table]
    for part, value in table.items():
        if part not in known:
            problems.append(f"{key}.{part}: unknown; there are: {', '.join(known)}")
        elif reason := _reason(part, value):
            problems.append(f"{key}.{part}: {reason}")
    return problems


def _fallbacks_problems(key: str, table: Mapping[str, Any]) -> list[str]:
    fallbacks = table.get("fallbacks", [])
    key = f"{key}.fallbacks"
    if not isinstance(fallbacks, list) or len(fallbacks) > _MOST_FALLBACKS:
        return [f"{key}: must be a list of at most {_MOST_FALLBACKS} tables with {', '.join(_REQUIRED)}"]
    problems: list[str] = []
    seen = [tuple(table.get(part) for part in _REQUIRED)]
    for number, fallback in enumerate(fallbacks):
        if not isinstance(fallback, dict):
            problems.append(f"{key}[{number}]: must be a table with {', '.join(_REQUIRED)}")
            continue
        problems += _table_problems(f"{key}[{number}]", fallback, _REQUIRED, _REQUIRED + _OPTIONAL_OF_FALLBACK)
        if (address := tuple(fallback.get(part) for part in _REQUIRED)) in seen:
            problems.append(f"{key}[{number}]: the same as one before it; a fallback must be another address or user")
        seen.append(address)
    return problems


def _reason(part: str, value: Any) -> str | None:
    """Why the value cannot stand, or None."""
    match part:
        case "port" | "listen" | "tls_listen":
            return None if is_port(value) else f"must be a port from 1 to 65535, not {value!r}"
        case "host":
            return _host_reason(value)
        case "user":
            return _user_reason(value)
        case "pass":
            return _text_reason(value, shown=False)
        case "tls":
            return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
        case "reconnect_hosts":
            return _reconnect_hosts_reason(value)
        case "mode":
            return None if value in _MODES else f'must be "dedicated" or "shared", not {value!r}'
        case _:
            return "not available yet; remove it"


def _host_reason(value: Any) -> str | None:
    if reason := _text_reason(value):
        return reason
    if not value:
        return "must not be empty"
    if "://" in value:
        return f"must be a host alone, without {value.split('://')[0]}://"
    if re.search(r"[\s/@\[\]]", value) or re.search(r"^[^:]+:\d+$", value):
        return f"must be a host name or an IP address alone, not {value!r}; its port stands in `port`"
    if _PLACEHOLDER_HOST.search(value):
        return f"still the placeholder {value!r}; put your pool's host here"
    return None


def _reconnect_hosts_reason(value: Any) -> str | None:
    if not isinstance(value, list) or len(value) > _MOST_RECONNECT_HOSTS:
        return f"must be a list of at most {_MOST_RECONNECT_HOSTS} host names"
    for host in value:
        name = host.removeprefix("*.") if isinstance(host, str) else host
        if reason := _host_reason(name):
            return f"{host!r}: {reason}"
        if "*" in name:
            return f"{host!r}: only *. at its start can stand for other names"
    return None


def _user_reason(value: Any) -> str | None:
    if reason := _text_reason(value):
        return reason
    if not value:
        return "must not be empty"
    if _PLACEHOLDER_USER.search(value):
        return f"still the placeholder {value!r}; put your wallet or account at the pool here"
    fields = set(re.findall(r"\{[^}]*\}?|\}", value)) - {"{worker}"}
    if fields:
        return f"holds {' and '.join(sorted(fields))}; only {{worker}} can stand in braces"
    return None


def _text_reason(value: Any, *, shown: bool = True) -> str | None:
    if not isinstance(value, str):
        return f"must be a string in quotes{f', not {value!r}' if shown else ''}"
    if not value.isprintable() or len(value.encode()) > _TEXT_MAX_BYTES:
        return f"must be one line of printable characters, {_TEXT_MAX_BYTES} bytes at most"
    return None


def _shared_ports(path: Path, found: Iterable[PoolListener]) -> list[str]:
    holders: dict[int, str] = {}
    return [
        f"{path}: {listener.key}: port {listener.port} is that of {holder} already"
        for listener in found
        if (holder := holders.setdefault(listener.port, listener.key)) != listener.key
    ]
