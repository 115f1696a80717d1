"""Who may ask: bearer tokens, static and signed (JWT), and the scopes they carry."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt

if TYPE_CHECKING:
    from services.api.options import ApiOptions

_TOKEN_MAX_BYTES = 4096
_CLAIMS: Final = ["sub", "scope", "exp", "jti"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a valid token: a name for the access log, the scopes, and a key that stands for the token."""

    name: str
    scopes: frozenset[str]
    key: str


class TokenBook:
    """Every token that the API accepts."""

    def __init__(self, options: ApiOptions) -> None:
        self.replace(options)

    def replace(self, options: ApiOptions) -> None:
        """From now on the tokens of these options count, and no others."""
        static = [(token, "read") for token in options.read_tokens] + [(t, "admin") for t in options.admin_tokens]
        scope_by_digest = {_digest(token.strip().encode()): scope for token, scope in static}
        names = {_digest(token.strip().encode()): name for token, name in options.token_names.items()}
        self._static = [
            (digest, Holder(names.get(digest, f"{scope}-{number}"), frozenset({scope}), digest.hex()))
            for number, (digest, scope) in enumerate(scope_by_digest.items(), start=1)
        ]
        # Each key serves its own algorithm alone: a public key that were taken for a secret would let anybody sign.
        keys = {"HS256": options.jwt_secret, "EdDSA": options.jwt_public_key}
        self._keys = {algorithm: key for algorithm, key in keys.items() if key}
        self._revoked = frozenset(options.revoked)

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
        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            key = self._keys.get(algorithm) if isinstance(algorithm, str) else None
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(token, key, algorithms=[str(algorithm)], options={"require": _CLAIMS})
        except (jwt.InvalidTokenError, ValueError):
            return None
        scope, identity = claims["scope"], str(claims["jti"])
        if not isinstance(scope, str) or identity in self._revoked:
            return None
        return Holder(str(claims["sub"])[:128], frozenset(scope.split()), f"jwt-{_digest(identity.encode()).hex()}")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
