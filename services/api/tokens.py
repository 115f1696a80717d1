"""Who may ask: bearer tokens, static and signed (JWT), and the scopes they carry."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    from services.api.options import ApiOptions

_TOKEN_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a valid token: a name for the access log, and the scopes."""

    name: str
    scopes: frozenset[str]


class TokenBook:
    """Every token that the API accepts."""

    def __init__(self, options: ApiOptions) -> None:
        static = [(token, "read") for token in options.read_tokens] + [(t, "admin") for t in options.admin_tokens]
        scope_by_digest = {_digest(token.strip().encode()): scope for token, scope in static}
        self._static = [
            (digest, Holder(f"{scope}-{number}", frozenset({scope})))
            for number, (digest, scope) in enumerate(scope_by_digest.items(), start=1)
        ]
        self._jwt_secret = options.jwt_secret

    def holder(self, token: bytes) -> Holder | None:
        """The holder of `token`, or None if it is not valid.

        Digests of equal length are compared, each in constant time and always all of them, so that the time taken tells
        nothing about how much of a guess was right.
        """
        if len(token) > _TOKEN_MAX_BYTES:
            return None
        digest = _digest(token)
        found: Holder | None = None
        for known, holder in self._static:
            if hmac.compare_digest(known, digest):
                found = holder
        return found or self._signed(token)

    def _signed(self, token: bytes) -> Holder | None:
        if not self._jwt_secret:
            return None
        try:
            claims = jwt.decode(
                token, self._jwt_secret, algorithms=["HS256"], options={"require": ["sub", "scope", "exp", "jti"]}
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        scope = claims["scope"]
        if not isinstance(scope, str):
            return None
        return Holder(str(claims["sub"])[:128], frozenset(scope.split()))


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
