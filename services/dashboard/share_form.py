"""What the analytics page is asked for: its address read into a query, and written again for links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args
from urllib.parse import quote, urlencode

from services.dashboard.periods import CUSTOM, DEFAULT, Period, PeriodError, asked_period
from services.warehouse.share_figures import ShareCursor
from services.warehouse.share_id import ShareId, ShareIdError
from services.warehouse.share_query import ShareQuery, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER: Final = re.compile(r"([0-9]{1,30}(?:[.][0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?)\s*([kKMGTPEZY]?)")
_PREFIXES: Final = {prefix: 1000.0**power for power, prefix in enumerate(("", "k", "M", "G", "T", "P", "E", "Z", "Y"))}
_MOST_NAME: Final = 1000


class FormError(ValueError):
    """A question that cannot be asked; the text says what would do."""


@dataclass(frozen=True, slots=True)
class ShareForm:
    """A question as it was asked. `query` is None if it cannot be; `mistake` says why then."""

    fields: Mapping[str, str]
    """What the form's fields hold, by name: period, from, to, worker, pool, min, verdict."""
    period: Period | None = None
    query: ShareQuery | None = None
    mistake: str = ""

    def link(self, **changes: str) -> str:
        """The question's parameters with some of them changed; an empty one is left out."""
        return urlencode({name: value for name, value in {**self.fields, **changes}.items() if value}, quote_via=quote)

    def fixed(self) -> str:
        """The parameters that ask for just these shares, whenever they are read."""
        return self.link(**(self.period.fixed() if self.period else {}))

    def in_period(self, name: str) -> str:
        """The same question about another period."""
        return self.link(period=name, **{"from": "", "to": ""})

    def filters(self) -> list[tuple[str, str, str]]:
        """What narrows the period: name of the parameter, label, value."""
        labels = {"worker": "Worker", "pool": "Pool", "min": "Actual difficulty from", "verdict": "Verdict"}
        return [(name, label, self.fields[name]) for name, label in labels.items() if self.fields.get(name)]


def asked_form(parameters: Mapping[str, str], now: int) -> ShareForm:
    """Reads an address; never raises."""
    names = ("period", "from", "to", "worker", "pool", "min", "verdict")
    fields = {name: parameters[name] for name in names if parameters.get(name)}
    fields.setdefault("period", CUSTOM if fields.keys() & {"from", "to"} else DEFAULT)
    try:
        period = asked_period(fields, now)
        # However its moments were written, the form's fields know one way alone; one that was left open stays open.
        written = period.fixed() if period.name == CUSTOM else {}
        for name in ("from", "to"):
            value = fields.pop(name, "")
            if value and name in written:
                fields[name] = written[name]
        query = ShareQuery(
            period.start,
            period.end,
            _name("worker", fields),
            _name("pool", fields),
            _verdict(fields.get("verdict", "")),
            _difficulty(fields.get("min", "")),
        )
    except (PeriodError, FormError) as error:
        return ShareForm(fields, mistake=str(error))
    return ShareForm(fields, period, query)


def cursor_text(cursor: ShareCursor) -> str:
    """A place in a table, for an address."""
    return f"{cursor.ts_ms}-{cursor.segment}-{cursor.seq}"


def asked_cursor(text: str) -> ShareCursor | None:
    """Reads what `cursor_text` wrote; None for none. Raises FormError."""
    if not text:
        return None
    ts_ms, _, share = text.partition("-")
    try:
        found = ShareId.parse(share)
        if not (ts_ms.isascii() and ts_ms.isdigit() and len(ts_ms) <= 13):
            raise FormError("This place in the table does not exist: go back to its top.")
    except ShareIdError:
        raise FormError("This place in the table does not exist: go back to its top.") from None
    return ShareCursor(int(ts_ms), str(found.segment), found.seq)


def _name(field: str, fields: Mapping[str, str]) -> str | None:
    value = fields.get(field)
    if value is not None and len(value) > _MOST_NAME:
        raise FormError(f"No {field} has a name of more than {_MOST_NAME} characters.")
    return value


def _verdict(text: str) -> Verdict | None:
    for verdict in get_args(Verdict):
        if text == verdict:
            known: Verdict = verdict
            return known
    if text:
        raise FormError("A verdict is accepted or rejected.")
    return None


def _difficulty(text: str) -> float:
    if not text:
        return 0.0
    found = _NUMBER.fullmatch(text.replace(",", "").strip())
    value = float(found[1]) * _PREFIXES[found[2] if found[2] != "K" else "k"] if found else float("inf")
    if value == float("inf"):
        raise FormError("The least difficulty is a number, such as 65536, 1.5M or 2e9.")
    return value
