"""A client of the REST API for validators, in the standard library alone.

    api = ValidatorClient("http://localhost:8888", token)
    for name, worker in api.workers_stats().items():
        print(name, worker.state, worker.share_value_24h)

Fields that a later version of the API adds are left out here, and break nothing.
"""

from services.client.answers import (
    DayFigures,
    Health,
    PeriodFigures,
    PoolStats,
    RawPage,
    RawShare,
    Summary,
    WorkerStats,
)
from services.client.client import ApiRefusal, ApiUnreachable, ValidatorClient

__all__ = [
    "ApiRefusal",
    "ApiUnreachable",
    "DayFigures",
    "Health",
    "PeriodFigures",
    "PoolStats",
    "RawPage",
    "RawShare",
    "Summary",
    "ValidatorClient",
    "WorkerStats",
]
