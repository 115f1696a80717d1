from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from services.api.options import ApiOptionError, ApiOptions
from services.api.tokens import TokenBook

SECRET = "0123456789abcdef0123456789abcdef"
OPTIONS = ApiOptions(read_tokens=("reader-token", " spaced "), admin_tokens=("admin-token",), jwt_secret=SECRET)


def signed(**changes: Any) -> bytes:
    claims = {"sub": "Validator A", "scope": "read", "exp": time.time() + 3600, "jti": "1"} | changes
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, SECRET, "HS256").encode()


@pytest.mark.parametrize(
    ("token", "scopes"),
    [(b"reader-token", {"read"}), (b"spaced", {"read"}), (b"admin-token", {"admin"}), (signed(), {"read"})],
)
def test_a_known_token_has_its_scopes(token: bytes, scopes: set[str]) -> None:
    holder = TokenBook(OPTIONS).holder(token)
    assert holder is not None
    assert holder.scopes == scopes


@pytest.mark.parametrize(
    "token",
    [b"", b"reader-toke", b"reader-token2", b"READER-TOKEN", b"x" * 5000, b"a.b.c", b"\xff\xfe", b"..", b"\x00"],
)
def test_an_unknown_token_has_no_holder(token: bytes) -> None:
    assert TokenBook(OPTIONS).holder(token) is None


@pytest.mark.parametrize(
    "token",
    [
        signed(exp=time.time() - 1),
        signed(exp=None),
        signed(jti=None),
        signed(sub=None),
        signed(scope=None),
        signed(scope=["read"]),
        jwt.encode(
            {"sub": "x", "scope": "read", "exp": time.time() + 3600, "jti": "1"}, SECRET[::-1], "HS256"
        ).encode(),
        jwt.encode({"sub": "x", "scope": "read", "exp": time.time() + 3600, "jti": "1"}, "", "none").encode(),
        jwt.encode({"sub": "x", "scope": "read", "exp": time.time() + 3600, "jti": "1"}, SECRET * 2, "HS512").encode(),
        signed()[:-2],
    ],
    ids=["expired", "no exp", "no jti", "no sub", "no scope", "scope list", "other key", "alg none", "HS512", "cut"],
)
def test_a_bad_jwt_has_no_holder(token: bytes) -> None:
    assert TokenBook(OPTIONS).holder(token) is None


def test_without_a_secret_no_jwt_is_accepted() -> None:
    assert TokenBook(ApiOptions(read_tokens=("reader-token",))).holder(signed()) is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"read_tokens": ()}, "no token is configured"),
        ({"read_tokens": ("a", " ")}, "API_TOKENS"),
        ({"read_tokens": ("same",), "admin_tokens": (" same",)}, "API_TOKENS and in REWARDS_POST_TOKEN"),
        ({"jwt_secret": "short"}, "API_JWT_SECRET"),
        ({"coin": "doge"}, "COIN"),
        ({"share_value_basis": "guess"}, "SHARE_VALUE_BASIS"),
    ],
)
def test_options_refuse_what_cannot_stand_and_name_it(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ApiOptionError, match=name):
        ApiOptions(**({"read_tokens": ("t",)} | changes))


def test_options_never_show_a_secret() -> None:
    text = repr(OPTIONS)
    assert not any(secret in text for secret in ("reader-token", "admin-token", SECRET))
