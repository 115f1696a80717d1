"""One line per event, for machines (JSON) or for people (text), from structlog and from the standard library alike."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import EventDict, Processor

LogFormat = Literal["json", "text"]
# Libraries that tell about each request, or each retry, at INFO.
_QUIET = ("asyncio", "botocore", "boto3", "urllib3", "aiohttp.access", "uvicorn", "clickhouse_connect", "watchfiles")


def configure(log_format: LogFormat, level: str, *, service: str, write: Callable[[str], None] | None = None) -> None:
    """Send every log record of this process to stderr, or to `write`. `service` stands in each JSON line."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr) if write is None else _Handler(write)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=_machine(service) if log_format == "json" else _people(),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def chosen_format(setting: Literal["auto", "json", "text"], service: str) -> LogFormat:
    """The miner's document shows its lines as text; the others write it for a person at a terminal."""
    if setting != "auto":
        return setting
    return "text" if service == "miner" or sys.stderr.isatty() else "json"


class _Handler(logging.Handler):
    """Hands each formatted record on."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self.format(record))
        except Exception:
            self.handleError(record)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _machine(service: str) -> list[Processor]:
    def name_service(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        name_service,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]


def _people() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _text_line,
    ]


def _text_line(_logger: object, _method: str, event: MutableMapping[str, object]) -> str:
    """`2026-01-31 12:00:00,123 [INFO] event key=value`: the form that the merge miner's document shows."""
    stamp = str(event.pop("timestamp", "")).replace("T", " ").replace(".", ",")[:23]
    level = str(event.pop("level", "info")).upper()
    traceback = event.pop("exception", None)
    parts = [str(event.pop("event", "")), *(f"{key}={_plain(value)}" for key, value in event.items())]
    line = f"{stamp} [{level}] {' '.join(parts)}"
    return f"{line}\n{traceback}" if traceback else line


def _plain(value: object) -> str:
    """A value without line breaks or control characters: names that miners choose reach the terminal.

    Of several, each stands by itself, with commas between them; none is "-".
    """
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(_quoted(str(one), " ,") for one in value) or "-"
    return _quoted(str(value), " ")


def _quoted(text: str, forbidden: str) -> str:
    """As it is, or in quotes where it would be misread."""
    return text if text.isprintable() and not any(char in text for char in forbidden) else repr(text)
