"""Plain values stand for models: field by field, in the same order, and as the models would have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.api.models import WorkerFigures
from services.api.periods import DayWorker, PeriodWorker
from services.api.worker_figures import day_figures, period_figures, worker_figures
from services.warehouse.results import WindowSums, WorkerPeriod, WorkerStats

if TYPE_CHECKING:
    from pydantic import BaseModel

    from services.api.options import ShareValueBasis

SUMS = [WindowSums(seconds, seconds // 7, seconds * 3.5, seconds * 9.25) for seconds in (300, 3_600, 86_400)]


@pytest.mark.parametrize("basis", ["actual", "credited"])
def test_the_fields_are_those_of_the_models(basis: ShareValueBasis) -> None:
    stats = WorkerStats("a.b", True, 1_749_000_000, *SUMS)
    period = WorkerPeriod("a.b", False, 1_749_000_000, SUMS[1])
    written: list[tuple[dict[str, object], type[BaseModel]]] = [
        (worker_figures(stats, basis), WorkerFigures),
        (period_figures(period, basis), PeriodWorker),
        (day_figures(SUMS[2], basis), DayWorker),
    ]
    for figures, model in written:
        assert model.model_validate(figures, strict=True).model_dump() == figures
        assert list(figures) == list(model.model_fields)
