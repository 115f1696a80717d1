"""Tokens that a key pair signs, tokens that are revoked, and tokens that change while the service runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.api.options import ApiOptionError, ApiOptions
from services.api.server import serve
from services.api.tokens import TokenBook
from services.tests.conftest import unused_port
from services.tests.serving import running

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
SECRET = "0123456789abcdef0123456789abcdef"
BOOK = TokenBook(ApiOptions(jwt_public_key=PUBLIC, revoked=frozenset({"stolen"})))


def claims(**changes: Any) -> dict[str, Any]:
    return {"sub": "Validator A", "scope": "read", "exp": time.time() + 3600, "jti": "1"} | changes


def test_a_token_of_the_private_key_counts() -> None:
    holder = BOOK.holder(jwt.encode(claims(), KEY, "EdDSA").encode())
    assert holder is not None
    assert (holder.name, set(holder.scopes)) == ("Validator A", {"read"})


def by_hand(header: dict[str, Any], key: bytes) -> bytes:
    """A token of any algorithm's name, signed by HMAC with `key`, which PyJWT itself would refuse to make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims())]
    signature = base64.urlsafe_b64encode(hmac.digest(key, b".".join(parts), hashlib.sha256)).rstrip(b"=")
    return b".".join([*parts, signature])


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode(claims(), OTHER_KEY, "EdDSA").encode(),
        jwt.encode(claims(exp=time.time() - 1), KEY, "EdDSA").encode(),
        jwt.encode(claims(jti="stolen"), KEY, "EdDSA").encode(),
        jwt.encode(claims(), SECRET, "HS256").encode(),
        by_hand({"alg": "HS256", "typ": "JWT"}, PUBLIC.encode()),
        by_hand({"alg": "EdDSA", "typ": "JWT"}, PUBLIC.encode()),
        by_hand({"alg": "none", "typ": "JWT"}, b""),
        by_hand({"alg": ["EdDSA"]}, b""),
        by_hand({}, b""),
    ],
    ids=["other key", "expired", "revoked", "HS256", "confused", "HMAC as EdDSA", "none", "a list", "no algorithm"],
)
def test_whatever_else_does_not(token: bytes) -> None:
    assert BOOK.holder(token) is None


def test_a_key_serves_its_own_algorithm_alone() -> None:
    both = TokenBook(ApiOptions(jwt_public_key=PUBLIC, jwt_secret=SECRET))
    assert both.holder(jwt.encode(claims(), KEY, "EdDSA").encode())
    assert both.holder(jwt.encode(claims(), SECRET, "HS256").encode())
    assert both.holder(by_hand({"alg": "HS256"}, PUBLIC.encode())) is None
    assert both.holder(by_hand({"alg": "EdDSA"}, SECRET.encode())) is None


def test_no_other_kind_of_key_is_taken() -> None:
    curve = generate_ec_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (curve.decode(), "", "x", PUBLIC[:60]):
        with pytest.raises(ApiOptionError, match="API_JWT_PUBLIC_KEY" if pem else "no token"):
            ApiOptions(jwt_public_key=pem)


def test_a_name_goes_with_its_token() -> None:
    book = TokenBook(ApiOptions(read_tokens=("one", "two"), token_names={"two": "Validator B"}))
    assert [holder.name for holder in map(book.holder, (b"one", b"two")) if holder] == ["read-1", "Validator B"]


async def test_tokens_change_while_the_service_runs(
    store: ClickHouseAddress, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ApiOptions(clickhouse=store, port=unused_port(), read_tokens=("first-token",))
    told = [None, ApiOptions(clickhouse=store, read_tokens=("later-token",), token_names={"later-token": "Later"})]

    def changed() -> ApiOptions | None:
        return told.pop(0) if told else None

    async with (
        running(lambda: serve(options, changed), options.port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{options.port}", timeout=60) as client,
    ):

        async def status(token: str) -> int:
            return (await client.get("/api/pool/stats", headers={"Authorization": f"Bearer {token}"})).status_code

        assert (await status("first-token"), await status("later-token")) == (200, 401)
        async with asyncio.timeout(50):
            while await status("later-token") != 200:
                await asyncio.sleep(0.1)
        assert await status("first-token") == 401
    out, err = capfd.readouterr()
    assert "Later" in out + err
    assert "first-token" not in out + err
    assert "later-token" not in out + err
