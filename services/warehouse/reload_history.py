"""When proxies went over to a new configuration, or refused one: what they answered, of one reload together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.warehouse.analysis import Analysis

_TOGETHER_SECONDS: Final = 10.0
"""Each process of a proxy tells of a reload by itself; a changed file is noticed within this time by all."""
_MOST_ANSWERS: Final = 1_000
_ANSWERS: Final = """\
SELECT toUnixTimestamp64Milli(answered), proxy, applied, changed_pools, error
FROM config_answers FINAL
WHERE answered >= toDateTime64({start:Int64}, 3, 'UTC') AND answered < toDateTime64({end:Int64}, 3, 'UTC')
ORDER BY answered DESC, proxy, instance LIMIT {most:UInt32}"""


@dataclass(frozen=True, slots=True)
class Reload:
    """At `at`, unix seconds, by so many processes; `refusal` is why one of them went on as before, '' if none did."""

    at: float
    proxies: tuple[str, ...]
    changed_pools: tuple[str, ...]
    refusal: str


async def reloads(analysis: Analysis, start: int, end: int) -> tuple[Reload, ...]:
    """Reloads in [start, end), unix seconds, the latest first. Raises StoreUnavailable."""
    bound: dict[str, Any] = {"start": start, "end": end, "most": _MOST_ANSWERS}
    return _grouped(await analysis.rows(_ANSWERS, bound))


def _grouped(rows: Iterable[Sequence[Any]]) -> tuple[Reload, ...]:
    """Answers, the latest first, that follow each other closely are of one reload."""
    groups: list[list[Sequence[Any]]] = []
    for row in rows:
        if groups and groups[-1][-1][0] - row[0] <= _TOGETHER_SECONDS * 1000:
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(
        Reload(
            at=group[-1][0] / 1000,
            proxies=tuple(sorted({proxy for _, proxy, *_ in group})),
            changed_pools=tuple(sorted({pool for *_, pools, _ in group for pool in pools})),
            refusal=next((error for *_, applied, _, error in group if not applied), ""),
        )
        for group in groups
    )
