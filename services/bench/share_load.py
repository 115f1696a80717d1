"""A load of valid shares: every nonce is one, for the pool's difficulty is 2^-33."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.stratum.pool_session import JobReceived, PoolSession, SubmitAnswered, Subscribed

if TYPE_CHECKING:
    from services.stratum.job import Job

EVERY_HASH = 2.0**-33
"""The difficulty that every hash meets."""


@dataclass(slots=True)
class Tally:
    """What the load read."""

    accepted: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)


async def load(port: int, *, shares: int, connections: int, window: int) -> Tally:
    """Submits ``shares`` valid shares over ``connections``, each with at most ``window`` unanswered."""
    tally = Tally()
    share = shares // connections
    await asyncio.gather(*(_one_miner(port, f"load.{index}", share, window, tally) for index in range(connections)))
    return tally


async def _one_miner(port: int, worker: str, shares: int, window: int, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    session = PoolSession("load")
    session.subscribe()
    session.authorize(worker, "x")
    writer.write(session.outgoing())
    sent = answered = size = 0
    job: Job | None = None
    while answered < shares:
        data = await reader.read(65536)
        if not data:
            raise ConnectionError(f"{worker} was cut off after {answered} shares")
        for event in session.receive(data):
            match event:
                case Subscribed(_, size):
                    pass
                case JobReceived(job):
                    pass
                case SubmitAnswered(_, error):
                    answered += 1
                    if error is None:
                        tally.accepted += 1
                    else:
                        tally.refused.append(error)
        if size and job:
            while sent < min(shares, answered + window):
                session.submit(worker, job.job_id, sent.to_bytes(size, "big"), job.ntime, 0, None)
                sent += 1
            writer.write(session.outgoing())
    writer.close()
