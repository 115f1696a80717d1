from __future__ import annotations

import pytest

from services.command import logs


@pytest.fixture(autouse=True)
def _the_log_stays_the_tests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is run within this process would keep every later test's log for itself."""
    monkeypatch.setattr(logs, "configure", lambda *_, **__: None)
