"""The client itself. One request at a time; share one between threads freely, for it keeps nothing open."""

from __future__ import annotations

import gzip
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
import zlib
from typing import TYPE_CHECKING, Any, Final

from services.client.answers import (
    DayFigures,
    Health,
    PeriodFigures,
    PoolStats,
    RawPage,
    RawShare,
    Summary,
    WorkerStats,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message

_PAGE: Final = 50_000
_COINS: Final = ("btc", "bch")
_ERROR_MAX_BYTES: Final = 65_536


class ApiRefusal(Exception):  # noqa: N818 - an answer, if not the one that was wanted
    """The API answered with an error: `status`, its `code` for programs, `request_id` for the operator.

    `retry_after_seconds` says when to ask again, where the API knows.
    """

    def __init__(self, status: int, code: str, message: str, request_id: str, retry_after_seconds: int | None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class ApiUnreachable(Exception):  # noqa: N818 - a state of the network
    """Nobody answered at the address, not in time, or not to the end."""


class ValidatorClient:
    """Every method raises ApiRefusal or ApiUnreachable. Times are unix seconds, periods half open."""

    def __init__(self, base_url: str, token: str = "", *, timeout_seconds: float = 30) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must start with http:// or https://")
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds

    def health(self) -> Health:
        return read(Health, self._get("/health"))

    def summary(self) -> Summary:
        """All pools together; needs no token."""
        return read(Summary, self._get("/api/stats/summary"))

    def pool_stats(self, pool: str | None = None) -> PoolStats:
        """A pool by its name, or all."""
        answer = self._get("/api/pool/stats", pool=pool)
        facts = {"pools_included": (), **_coin(answer), **answer}
        return read(PoolStats, {**facts, "pools_included": tuple(facts["pools_included"])})

    def workers_stats(self, *, worker: str | None = None, pool: str | None = None) -> dict[str, WorkerStats]:
        """By name: workers with a share in the last 24 hours."""
        workers = _coin(self._get("/api/workers/stats", worker=worker, pool=pool))["workers"]
        return {name: read(WorkerStats, facts) for name, facts in workers.items()}

    def workers_timerange(self, start_time: int, end_time: int) -> dict[str, PeriodFigures]:
        """By name: workers with a share in the period, of at most 30 days."""
        answer = self._get("/api/workers/timerange", start_time=start_time, end_time=end_time)
        return {name: read(PeriodFigures, facts) for name, facts in _coin(answer)["workers"].items()}

    def workers_share_value(self, day: str) -> dict[str, DayFigures]:
        """By name: workers with a share on the UTC day, YYYY-MM-DD."""
        answer = self._get(f"/api/workers/share-value/{urllib.parse.quote(day, safe='')}")
        return {name: read(DayFigures, facts) for name, facts in _coin(answer)["workers"].items()}

    def shares_page(
        self,
        start_time: int,
        end_time: int,
        *,
        worker: str | None = None,
        pool: str | None = None,
        limit: int = _PAGE,
        cursor: str | None = None,
    ) -> RawPage:
        """Shares of the period, from its begin or from where `cursor`, the page before, ended."""
        asked = {"start_time": start_time, "end_time": end_time, "worker": worker, "pool": pool}
        answer = self._get("/api/shares/raw", **asked, limit=limit, cursor=cursor)
        shares = tuple(read(RawShare, facts) for facts in answer["shares"])
        return RawPage(shares, answer["total_count"], answer["next_cursor"])

    def shares(
        self, start_time: int, end_time: int, *, worker: str | None = None, pool: str | None = None, limit: int = _PAGE
    ) -> Iterator[RawShare]:
        """Every share of the period, the oldest first, asked for page by page as they are taken."""
        cursor: str | None = None
        while True:
            page = self.shares_page(start_time, end_time, worker=worker, pool=pool, limit=limit, cursor=cursor)
            yield from page.shares
            cursor = page.next_cursor
            if cursor is None:
                return

    def share_proof(self, share_id: str) -> dict[str, Any]:
        """A share with all that proves it, as docs/API.md tells; docs/verify_shares.py checks it."""
        return self._get(f"/api/shares/{urllib.parse.quote(share_id, safe='')}/proof")

    def audit(self, start_time: int, end_time: int, *, sample: int = 10, seed: int = 0) -> list[dict[str, Any]]:
        """Proofs of a sample that `seed` determines."""
        answer = self._get("/api/shares/audit", start_time=start_time, end_time=end_time, sample=sample, seed=seed)
        shares: list[dict[str, Any]] = answer["shares"]
        return shares

    def _get(self, path: str, **parameters: str | int | None) -> dict[str, Any]:
        query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value is not None})
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        }
        url = f"{self._base_url}{path}{'?' + query if query else ''}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - its scheme was looked at
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as answer:  # noqa: S310
                body: dict[str, Any] = json.loads(_unpacked(answer.read(), answer.headers))
                return body
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, ValueError, EOFError, zlib.error, http.client.HTTPException) as error:
            raise ApiUnreachable(str(error)) from error


def _coin(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What stands under the coin's name, whichever the operator has chosen."""
    facts: dict[str, Any] = next(answer[coin] for coin in _COINS if coin in answer)
    return facts


def _unpacked(body: bytes, headers: Message) -> bytes:
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


def _refusal(error: urllib.error.HTTPError) -> ApiRefusal:
    try:
        facts = json.loads(_unpacked(error.read(_ERROR_MAX_BYTES), error.headers))["error"]
        code, message, request_id = facts["code"], facts["message"], facts["request_id"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, http.client.HTTPException):
        # A reverse proxy answered, and not the API.
        code, message, request_id = "UNKNOWN", error.reason, ""
    wait = error.headers.get("Retry-After", "")
    return ApiRefusal(error.code, code, message, request_id, int(wait) if wait.isdigit() else None)
