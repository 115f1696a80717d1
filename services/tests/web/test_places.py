from __future__ import annotations

import resource

import pytest

from services.web.places import MOST_CONNECTIONS, most_connections


@pytest.mark.parametrize(
    ("files", "most"),
    [
        (1024, 768),
        (256, 32),
        (4352, MOST_CONNECTIONS),
        (1_048_576, MOST_CONNECTIONS),
        (resource.RLIM_INFINITY, MOST_CONNECTIONS),
    ],
)
def test_connections_leave_room_for_other_files(monkeypatch: pytest.MonkeyPatch, files: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == most
