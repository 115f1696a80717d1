"""/metrics, /healthz and /readyz of several proxy processes at one address.

Every sample carries the label ``process``, the number of the process that it comes from: sums are Prometheus' business,
which alone knows that ages and flags cannot be added. Each process answers on a Unix socket of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.proxy.probes import CONTENT_TYPE, listen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from prometheus_client import Metric

_ANSWER_SECONDS: Final = 2.0


class CrewProbes:
    """``sockets`` are the processes' own, by number."""

    def __init__(self, sockets: Mapping[int, Path]) -> None:
        self._sockets = dict(sockets)
        self._runner: web.AppRunner | None = None
        self.registry = CollectorRegistry()
        self._answering = Gauge("sharehouse_processes_answering", "Processes that answer now", registry=self.registry)
        wanted = Gauge("sharehouse_processes", "Processes that there should be", registry=self.registry)
        wanted.set(len(self._sockets))

    @property
    def port(self) -> int:
        """The real one, also where 0 was asked for."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def open(self, host: str, port: int) -> None:
        """Raises OSError, with the address in it, where the port cannot be had."""
        routes = [web.get("/metrics", self._metrics), web.get("/healthz", _healthz), web.get("/readyz", self._readyz)]
        self._runner = await listen(routes, host, port)

    async def close(self) -> None:
        """Closes the port."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def is_ready(self, number: int) -> bool:
        """Whether that process takes miners."""
        return (await _asked(self._sockets[number], "/readyz") or (0, ""))[0] == 200

    async def _all(self, path: str) -> dict[int, tuple[int, str] | None]:
        answers = await asyncio.gather(*(_asked(socket, path) for socket in self._sockets.values()))
        return dict(zip(self._sockets, answers, strict=True))

    async def _metrics(self, _: web.Request) -> web.Response:
        answers = await self._all("/metrics")
        texts = {number: answer[1] for number, answer in answers.items() if answer is not None and answer[0] == 200}
        self._answering.set(len(texts))
        body = generate_latest(self.registry) + combined(texts)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _readyz(self, _: web.Request) -> web.Response:
        """A process that is gone takes nobody's miner, the kernel sees to that; one that lives must be ready."""
        answers = {number: answer for number, answer in (await self._all("/readyz")).items() if answer is not None}
        unready = [f"process {number}: {text}" for number, (status, text) in answers.items() if status != 200]
        if unready or not answers:
            return web.Response(status=503, text="".join(unready) or "no process takes miners\n")
        return web.Response(text="ready\n")


def combined(texts: Mapping[int, str]) -> bytes:
    """One exposition of several, by the number of the process that each is from."""
    families: dict[str, Metric] = {}
    for number, text in texts.items():
        for family in text_string_to_metric_families(text):
            known = families.setdefault(family.name, family)
            samples = [sample._replace(labels={**sample.labels, "process": str(number)}) for sample in family.samples]
            known.samples = samples if known is family else known.samples + samples
    registry = CollectorRegistry()
    registry.register(_Collected(families.values()))
    return generate_latest(registry)


class _Collected:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _asked(socket: Path, path: str) -> tuple[int, str] | None:
    """Status and text; None where nobody listens, 503 where somebody does and does not answer."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket)), timeout=timeout) as session,
            session.get(f"http://proxy{path}") as answer,
        ):
            return answer.status, await answer.text()
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return 503, f"does not answer ({type(error).__name__})\n"
