from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.proxy.crew_probes import CrewProbes
from services.proxy.server import Proxy
from services.tests.proxy.conftest import proxy_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

ROOT = Path(__file__).parents[3]
UNPREFIXED = "shares_unrecorded_total"
"""A name that others rely on."""
NAME = re.compile(rf"\b(?:(?:sharehouse|process)_[a-z0-9_]+|{UNPREFIXED})\b")


def metrics_named(text: str) -> set[str]:
    """The metrics that an expression, or a document, names; what stands in quotes is a label's value."""
    return set(NAME.findall(re.sub(r'"[^"]*"', "", text)))


@pytest.fixture(scope="session")
def operations() -> str:
    """docs/OPERATIONS.md."""
    return (ROOT / "docs" / "OPERATIONS.md").read_text()


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CollectorRegistry, ...]]:
    """A running proxy's, and what several add to it."""

    async def run() -> None:
        async with Proxy(proxy_options(folder, pool_port=1)) as proxy:
            registry.set_result(proxy.registry)
            await asyncio.to_thread(done.wait)

    folder = tmp_path_factory.mktemp("proxy")
    registry: Future[CollectorRegistry] = Future()
    done = threading.Event()
    running = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    running.start()
    yield registry.result(timeout=60), CrewProbes({1: folder / "1.sock"}).registry
    done.set()
    running.join(timeout=60)


@pytest.fixture(scope="session")
def exposition(registries: tuple[CollectorRegistry, ...]) -> str:
    """What /metrics answers."""
    return b"".join(map(generate_latest, registries)).decode()


@pytest.fixture(scope="session")
def families(exposition: str) -> dict[str, str]:
    """The type of each metric by its name, counters with their _total."""
    found = {}
    for family in text_string_to_metric_families(exposition):
        found[family.name + ("_total" if family.type == "counter" else "")] = family.type
    return found


@pytest.fixture(scope="session")
def series(families: dict[str, str]) -> set[str]:
    """Every name that a query may use: of a histogram, its parts alone."""
    histograms = {name for name, kind in families.items() if kind == "histogram"}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return (set(families) - histograms) | parts


@pytest.fixture(scope="session")
def labels_of(registries: tuple[CollectorRegistry, ...]) -> dict[str, frozenset[str]]:
    """The labels of each metric of ours, also of those that have no sample yet."""
    found = {}
    for registry in registries:
        # Nothing public gives them before the first sample.
        for collector, names in registry._collector_to_names.items():
            for name in names:
                found[name] = frozenset(getattr(collector, "_labelnames", ()))
    return found


@pytest.fixture(scope="session")
def label_names(labels_of: dict[str, frozenset[str]]) -> frozenset[str]:
    """Labels that samples may carry; Prometheus and PROXY_WORKERS add the last three."""
    return frozenset().union(*labels_of.values(), ("job", "instance", "process"))
