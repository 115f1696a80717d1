"""Addresses of pages that are named by something a miner chose: any text is possible, and becomes one path segment."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor

# Browsers take these for steps in a path even when they are percent-encoded, and an empty one is no segment.
_NO_SEGMENT = frozenset({"", ".", ".."})


def worker_path(name: str) -> str:
    """The path of a worker's page below the dashboard's root, without a leading slash."""
    encoded = quote(name, safe="")
    return f"workers?name={encoded}" if name in _NO_SEGMENT else f"workers/{encoded}"


def name_in_path(raw_path: bytes, before: bytes) -> str:
    """The name behind `before` in a path as it was sent: percent-decoded once, and never split at a %2F."""
    return unquote_to_bytes(raw_path.partition(b"?")[0].removeprefix(before)).decode("utf-8", "replace")


class _AnyText(Convertor[str]):
    """The rest of a path, newlines included, which {name:path} leaves out."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _AnyText())
