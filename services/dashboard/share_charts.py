"""Charts of a period's shares: hash rate, acceptance, refusals by reason, and difficulty against what chance gives."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

from services.dashboard import quantities
from services.dashboard.charts import Chart, Trace
from services.warehouse.results import HASHES_PER_DIFFICULTY

if TYPE_CHECKING:
    from services.warehouse.share_figures import DifficultySpread, Step, Timeline

# Of a normal distribution, 95 % lie within so many standard deviations.
_DEVIATIONS: Final = 1.96
_MOST_REASONS: Final = 6
_FEWEST_STEPS: Final = 3


def hash_rate_chart(line: Timeline) -> Chart:
    """Hash rate by step, with its mean, and the band in which 95 % of the steps lie if nothing but luck differs.

    Steps before the first share are gaps: nobody was there, which is no rate of zero.
    """
    first = _first(line)
    used = range(first, len(line.steps))
    rates = hash_rates(line)
    told = [index for index, rate in enumerate(rates) if rate is not None]
    traces = [Trace("Hash rate", tuple(rates), "accent", "line")]
    if len(used) < _FEWEST_STEPS:
        return Chart(line.start, line.step_seconds, tuple(traces), "H/s")
    seconds = sum(line.seconds(index) for index in used)
    mean = sum(step.credited for step in line.steps) / seconds
    variance = sum(step.squares for step in line.steps) / seconds
    means: list[float | None] = [None] * len(line.steps)
    upper, lower = list(means), list(means)
    for index in told:
        scale = HASHES_PER_DIFFICULTY / line.seconds(index)
        expected = mean * line.seconds(index)
        spread = _DEVIATIONS * math.sqrt(variance * line.seconds(index))
        means[index] = expected * scale
        upper[index] = (expected + spread) * scale
        lower[index] = max(0.0, expected - spread) * scale
    traces += [
        Trace("Mean", tuple(means), "muted", "dashed"),
        Trace("95 % by luck, to", tuple(upper), "muted", "edge"),
        Trace("from", tuple(lower), "muted", "edge"),
    ]
    return Chart(line.start, line.step_seconds, tuple(traces), "H/s", band=(2, 3))


def hash_rates(line: Timeline) -> list[float | None]:
    """H/s by step; None before the first share, and of steps that lie in the period by less than half."""
    first = _first(line)
    return [
        step.credited * HASHES_PER_DIFFICULTY / line.seconds(index)
        if index >= first and 2 * line.seconds(index) >= line.step_seconds
        else None
        for index, step in enumerate(line.steps)
    ]


def acceptance_chart(line: Timeline) -> Chart:
    """Accepted shares in percent, by step; a gap where there were none at all."""
    rates = tuple(
        100 * step.accepted / (step.accepted + _refused(step)) if step.accepted + _refused(step) else None
        for step in line.steps
    )
    return Chart(line.start, line.step_seconds, (Trace("Accepted", rates, "good", "line"),), "%")


def reasons_chart(line: Timeline) -> Chart:
    """Refused shares by step and reason, the most frequent reasons by name."""
    totals: Counter[str] = Counter()
    for step in line.steps:
        totals.update(step.rejected_by_reason)
    named = [reason for reason, _ in totals.most_common(_MOST_REASONS)]
    traces = [
        Trace(
            reason.replace("_", " "),
            tuple(float(step.rejected_by_reason.get(reason, 0)) for step in line.steps),
            str(number),
            "bars",
        )
        for number, reason in enumerate(named, 1)
    ]
    if len(totals) > len(named):
        rest = tuple(
            float(sum(count for reason, count in step.rejected_by_reason.items() if reason not in named))
            for step in line.steps
        )
        traces.append(Trace("others", rest, "8", "bars"))
    return Chart(line.start, line.step_seconds, tuple(traces), "", stacked=True)


def spread_chart(spread: DifficultySpread) -> Chart | None:
    """How many shares were 2^k times harder than asked, beside how many chance gives, with the band of 95 %.

    On a logarithmic scale, where chance alone draws a straight line. None without a share.
    """
    if not spread.shares:
        return None
    expected = [spread.shares / 2.0 ** (number + 1) for number in range(len(spread.counts))]
    bands = [poisson_band(mean) for mean in expected]
    return Chart(
        0,
        1,
        (
            Trace("Shares", tuple(float(count) or None for count in spread.counts), "accent", "bars"),
            Trace("Expected", tuple(expected), "warning", "dashed"),
            Trace("95 % by luck, to", tuple(float(high) for _, high in bands), "muted", "edge"),
            Trace("from", tuple(float(low) or 0.5 for low, _ in bands), "muted", "edge"),
        ),
        labels=tuple(f"{quantities.si(2.0**number)}×" for number in range(len(spread.counts))),
        band=(2, 3),
        logarithmic=True,
    )


def luck_words(spread: DifficultySpread) -> str:
    """Whether the shares' hashes spread as chance spreads them, in a sentence."""
    if not spread.shares:
        return ""
    # Of n values spread evenly from 0 to 1, the mean is off 1/2 by this much, as a rule.
    deviation = 1 / math.sqrt(12 * spread.shares)
    off = (spread.mean - 0.5) / deviation
    if abs(off) <= _DEVIATIONS:
        return f"As chance has it: {abs(off):.1f} standard deviations from what is expected."
    kind = "harder" if off < 0 else "easier"
    far = "a little" if abs(off) < 3 else "far"
    return f"{far.capitalize()} {kind} than chance has it: {abs(off):.1f} standard deviations from what is expected."


def poisson_band(mean: float) -> tuple[int, int]:
    """Between which counts 95 % lie, where `mean` are expected: of a Poisson distribution, by its quantiles."""
    if mean > 400:
        spread = _DEVIATIONS * math.sqrt(mean)
        return math.floor(mean - spread), math.ceil(mean + spread)
    term = total = math.exp(-mean)
    count = 0
    low = 0 if total > 0.025 else None
    while total < 0.975:
        count += 1
        term *= mean / count
        total += term
        if low is None and total > 0.025:
            low = count
    return low or 0, count


def _first(line: Timeline) -> int:
    return next((index for index, step in enumerate(line.steps) if step.accepted), len(line.steps))


def _refused(step: Step) -> int:
    return sum(step.rejected_by_reason.values())
