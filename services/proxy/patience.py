"""How long pools are waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds on what a pool may keep the proxy waiting for, in seconds."""

    connect_seconds: float = 10.0
    handshake_seconds: float = 10.0
    """For the answer to subscribe, and again from the first authorize to the first job."""
    optional_seconds: float = 2.0
    """For what some pools never answer: configure, and authorize."""
    silent_seconds: float = 45.0
    """Without a verdict and without a job, from the first share that was owed one."""
    idle_seconds: float = 300.0
    """Without anything at all from a pool that miners work for, whether it owes something or not."""
    refused_seconds: float = 30.0
    """Before a user name that the pool refused is tried again; doubled each time, up to 32 times as long."""
    steady_seconds: float = 10.0
    """A connection that lived so long was a good one."""
    first_pause_seconds: float = 0.25
    """Before dialling again; doubled with each failure, up to ``longest_pause_seconds``; each with jitter."""
    longest_pause_seconds: float = 30.0
    wait_seconds: float = 5.0
    """A pause that a pool asks for by client.reconnect: after a longer one miners work at a fallback meanwhile."""
    longest_wait_seconds: float = 60.0
    """What is kept of a longer one."""
    probe_seconds: float = 10.0
    """Between two looks at a pool that is preferred to the one in use; doubled while it comes and goes."""
    longest_probe_seconds: float = 300.0
    detour_seconds: float = 300.0
    """How long a miner stays elsewhere that is not served where others are."""
    late_seconds: float = 10.0
    """How long a connection that was left for a better one takes late shares."""
    move_seconds: float = 2.0
    """The time over which miners are spread that move to a better pool."""
