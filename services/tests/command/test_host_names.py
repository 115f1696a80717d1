"""Names that do not resolve are told soon, and an address is not asked for."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from services.command.host_names import unresolved

if TYPE_CHECKING:
    import pytest


def test_which_names_have_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    never = threading.Event()

    def getaddrinfo(name: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(name)
        if name == "hangs.test":
            never.wait()
        if name == "gone.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hosts = {
        "pools.a.host": "there.test",
        "pools.b.host": "gone.test",
        "pools.b.fallbacks[0].host": "gone.test",
        "pools.c.host": "10.0.0.1",
        "pools.d.host": "[::1]",
        "CLICKHOUSE_HOST": "hangs.test",
    }
    try:
        assert unresolved(hosts, 0.5) == [
            "pools.b.host: gone.test does not resolve now: Name or service not known",
            "pools.b.fallbacks[0].host: gone.test does not resolve now: Name or service not known",
            "CLICKHOUSE_HOST: hangs.test does not resolve now: no answer within 0.5 s",
        ]
    finally:
        never.set()
    assert sorted(asked) == ["gone.test", "hangs.test", "there.test"]


def test_a_name_that_cannot_be_one_is_told_too() -> None:
    (sentence,) = unresolved({"pools.a.host": "a" * 64 + ".test"}, 30)
    assert sentence.startswith("pools.a.host: aaaa")
