"""Who has logged in: a signed cookie, and the token against forged forms (CSRF) that goes with it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import jwt

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE: Final = "sharehouse_session"
FORM_COOKIE: Final = "sharehouse_form"
LASTS_SECONDS: Final = 30 * 86_400
"""A wall display stays logged in for a month; a changed password ends every session at once."""
_MAX_BYTES: Final = 4096
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A browser that gave a credential; `holder` names which, for the access log, and `csrf` goes into its forms."""

    holder: str
    csrf: str


class Credentials:
    """The password and the tokens, and what is signed with them.

    The key follows from all of them: replicas with the same settings know each other's sessions, nothing needs to be
    kept, and a change of any credential ends the sessions. It is made slowly (scrypt), so that who has seen a cookie
    cannot try passwords against it fast.
    """

    def __init__(self, password: str, tokens: tuple[str, ...], clock: Callable[[], float] = time.time) -> None:
        named = [("password", password)] if password else []
        named += [(f"token-{number}", token) for number, token in enumerate(dict.fromkeys(tokens), start=1)]
        self._digests = [(name, _digest(secret.encode())) for name, secret in named]
        self._clock = clock
        self._key = b""
        if named:
            material = b"".join(digest for _, digest in sorted(self._digests, key=lambda one: one[1]))
            self._key = hashlib.scrypt(material, salt=b"sharehouse dashboard session", n=2**14, r=8, p=1)

    def __bool__(self) -> bool:
        """Whether there are any: without, pages are open."""
        return bool(self._digests)

    def holder(self, secret: bytes) -> str | None:
        """The name of the credential that `secret` is; all are compared, each in constant time."""
        digest = _digest(secret)
        found = None
        for name, known in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def begin(self, holder: str) -> str:
        """The cookie of a new session."""
        now = int(self._clock())
        claims = {"sub": holder, "iat": now, "exp": now + LASTS_SECONDS, "jti": secrets.token_urlsafe(16)}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def session(self, cookie: str) -> LoginSession | None:
        """The session of a cookie; None if it is not ours, or over."""
        if not self._key or len(cookie) > _MAX_BYTES:
            return None
        try:
            claims = jwt.decode(
                cookie,
                self._key,
                algorithms=[_ALGORITHM],
                # PyJWT's own clock would make the end of a session untestable.
                options={"require": ["sub", "exp", "jti"], "verify_exp": False, "verify_iat": False},
            )
            if float(claims["exp"]) <= self._clock():
                return None
            return LoginSession(str(claims["sub"]), self.form_token(str(claims["jti"])))
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None

    def form_token(self, of: str) -> str:
        """What a form must hold to be one of ours: of a session (its id), or of a browser without one (its cookie)."""
        return hmac.new(self._key, b"form:" + of.encode(), hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether a form's token is the expected one, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
