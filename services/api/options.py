"""What the REST API is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from services.warehouse.address import ClickHouseAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

Coin = Literal["btc", "bch"]
ShareValueBasis = Literal["actual", "credited"]

_COINS = ("btc", "bch")
_BASES = ("actual", "credited")
# RFC 7518, 3.2: an HS256 key is at least as long as the hash it feeds.
_JWT_SECRET_MIN_BYTES = 32


@dataclass(frozen=True, slots=True)
class RateLimitOptions:
    """Requests a minute: of one address at one endpoint, at the summary, for a reload, and with one token anywhere."""

    address: int = 60
    summary: int = 10
    reload: int = 10
    token: int = 600


class ApiOptionError(ValueError):
    """A setting of the API that cannot stand; the text names it and says the remedy."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Settings of one API process.

    `read_tokens` (API_TOKENS) carry the scope `read`, `admin_tokens` (REWARDS_POST_TOKEN) the scope `admin`; neither
    scope includes the other. With a `jwt_secret` (API_JWT_SECRET) HS256 tokens signed by it are accepted too, with a
    `jwt_public_key` (API_JWT_PUBLIC_KEY, as PEM) EdDSA tokens whose private key is elsewhere; none whose `jti` is in
    `revoked`. `token_names` gives static tokens names for the access log.
    `share_value_basis` and `coin` are explained in docs/API.md. `trusted_proxies` (TRUSTED_PROXIES) are addresses and
    networks whose X-Forwarded-For is believed; pages of `cors_origins` (API_CORS_ORIGINS) may read what a GET gives.
    `pool_fee`, `worker_percentage` (fractions) and the smallest payout are
    told, and no more. Raises ApiOptionError for a value that cannot stand.
    """

    host: str = "127.0.0.1"
    port: int = 8888
    clickhouse: ClickHouseAddress = field(default_factory=ClickHouseAddress)
    read_tokens: tuple[str, ...] = field(default=(), repr=False)
    admin_tokens: tuple[str, ...] = field(default=(), repr=False)
    jwt_secret: str = field(default="", repr=False)
    jwt_public_key: str = ""
    token_names: Mapping[str, str] = field(default_factory=dict, repr=False)
    revoked: frozenset[str] = frozenset()
    coin: Coin = "btc"
    share_value_basis: ShareValueBasis = "actual"
    trusted_proxies: tuple[str, ...] = ()
    rate_limits: RateLimitOptions = field(default_factory=RateLimitOptions)
    cors_origins: tuple[str, ...] = ("*",)
    worker_percentage: float = 0.015
    pool_fee: float = 0.0
    minimum_payout_threshold: float = 0.0
    minimum_payout_threshold_unit: str = "BTC"

    def __post_init__(self) -> None:
        if self.coin not in _COINS:
            raise ApiOptionError(f"COIN is {self.coin!r}: set it to btc or bch")
        if self.share_value_basis not in _BASES:
            raise ApiOptionError(f"SHARE_VALUE_BASIS is {self.share_value_basis!r}: set it to actual or credited")
        if self.jwt_secret and len(self.jwt_secret.encode()) < _JWT_SECRET_MIN_BYTES:
            raise ApiOptionError(f"API_JWT_SECRET is shorter than {_JWT_SECRET_MIN_BYTES} bytes: set a longer one")
        if not all(token.strip() for token in (*self.read_tokens, *self.admin_tokens)):
            raise ApiOptionError("API_TOKENS or REWARDS_POST_TOKEN holds an empty token: remove it")
        if {token.strip() for token in self.read_tokens} & {token.strip() for token in self.admin_tokens}:
            raise ApiOptionError(
                "a token stands in API_TOKENS and in REWARDS_POST_TOKEN, so a reader could change things: make one anew"
            )
        if self.jwt_public_key and not _is_ed25519(self.jwt_public_key):
            raise ApiOptionError(
                "API_JWT_PUBLIC_KEY names a file without an Ed25519 public key in PEM: make a pair with"
                " scripts/generate_token.py --new-key"
            )
        if not (self.read_tokens or self.admin_tokens or self.jwt_secret or self.jwt_public_key):
            raise ApiOptionError(
                "no token is configured, so nobody could use the API: run scripts/generate_token.py"
                " and put its API_TOKENS line into .env"
            )


def _is_ed25519(pem: str) -> bool:
    try:
        return isinstance(load_pem_public_key(pem.encode()), Ed25519PublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False
