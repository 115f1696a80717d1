"""Who may ask: user and password, and whether a browser was led here from elsewhere."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from typing import TYPE_CHECKING

from services.warehouse.embedded.engine_error import AUTHENTICATION_FAILED, EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or address) can only be this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """The one user of this server."""

    def __init__(self, user: str, password: str, host: str) -> None:
        self._user = user.encode()
        self._password = password.encode()
        self._open = not is_loopback(host)

    @staticmethod
    def _credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str]:
        """By X-ClickHouse-User and -Key, by Basic, or by URL, as ClickHouse takes them; `default` and '' otherwise."""
        if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
            return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
        authorization = headers.get("Authorization", "")
        if authorization[:6].lower() == "basic ":
            try:
                text = base64.b64decode(authorization[6:], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return "", ""
            user, _, password = text.partition(":")
            return user, password
        return query.get("user", "default"), query.get("password", "")

    def authenticate(self, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
        """Raise EngineError 516 unless user and password are right; takes the same time for any wrong one."""
        user, password = self._credentials(headers, query)
        right_user = hmac.compare_digest(user.encode(), self._user)
        right_password = hmac.compare_digest(password.encode(), self._password)
        if not (right_user and right_password):
            raise EngineError.own(
                AUTHENTICATION_FAILED,
                "Authentication failed: password is incorrect, or there is no user with such name",
            )

    def refuses_browser(self, headers: Mapping[str, str]) -> str:
        """Why this request may come from a page of another site ('' when it may not).

        A page can neither leave out Origin in a POST nor choose Host: a name that was rebound to 127.0.0.1 shows.
        """
        host = headers.get("Host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        if not self._open and not is_loopback(name):
            return f"Host {host!r} is not this server's"
        origin = headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return f"Origin {origin!r} is not this server's"
        return ""
