#!/usr/bin/env python3
"""Make tokens for the REST API.

Examples:
  python scripts/generate_token.py                 one random token, and the line for .env
  python scripts/generate_token.py 3               three of them
  python scripts/generate_token.py --jwt --name "Validator A" --scope read --days 90
  python scripts/generate_token.py --new-key issuer.pem
  python scripts/generate_token.py --jwt --key issuer.pem --name "Validator A"

Random tokens need nothing installed, on any Python 3. A JWT is signed with API_JWT_SECRET, from the environment or from
the .env file beside the scripts folder, and needs PyJWT: run it as `.venv/bin/python scripts/generate_token.py --jwt`.
With --key it is signed (EdDSA) by a private key, and whoever checks it needs the public one alone: --new-key FILE makes
both, FILE and FILE.pub; API_JWT_PUBLIC_KEY names the latter. Its `jti`, printed to stderr, is for revoked_tokens.txt.
"""

# No annotation here may need a newer Python than 3.6.
import argparse
import os
import re
import secrets
import sys
import time
from pathlib import Path

TOKENS_AT_MOST = 1000
SECRET_BYTES_AT_LEAST = 32  # RFC 7518, 3.2
SECRET_NAME = "API_JWT_SECRET"  # noqa: S105 - the setting's name


class TokenRefusedError(Exception):
    """What was asked cannot be done; the text says why and what to do."""


def main() -> int:
    """Print what was asked; exit code 2 with one line if it cannot be done."""
    asked = arguments()
    try:
        if asked.new_key:
            make_key(Path(asked.new_key))
            return 0
        if asked.jwt:
            print(signed_token(asked.name, asked.scope, asked.days, asked.key))
            return 0
        tokens = [secrets.token_urlsafe(32) for _ in range(asked.count)]
    except TokenRefusedError as reason:
        print(f"generate_token: {reason}", file=sys.stderr)
        return 2
    for token in tokens:
        print(token)
    print("API_TOKENS=" + ",".join(tokens))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", metavar="N", nargs="?", type=count, default=1, help="how many tokens (1)")
    parser.add_argument("--jwt", action="store_true", help="print a signed JWT instead")
    parser.add_argument("--name", default="", help="with --jwt: whose it is; the name appears in the access log")
    parser.add_argument("--scope", choices=("read", "admin"), default="read", help="with --jwt: what it allows (read)")
    parser.add_argument("--days", type=days, default=90, help="with --jwt: how long it is valid (90)")
    parser.add_argument("--key", metavar="FILE", help="with --jwt: sign with this private key, for API_JWT_PUBLIC_KEY")
    parser.add_argument("--new-key", metavar="FILE", help="make an Ed25519 key pair: FILE and FILE.pub")
    return parser.parse_args()


def count(text: str) -> int:
    return whole_number(text, TOKENS_AT_MOST)


def days(text: str) -> int:
    return whole_number(text, 3650)


def whole_number(text: str, most: int) -> int:
    if not re.match(r"[0-9]{1,9}\Z", text) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
    return int(text)


def signed_token(name: str, scope: str, valid_days: int, key: "str | None" = None) -> str:
    """A JWT with sub, scope, iat, exp and jti, as the API accepts it: HS256, or EdDSA with a private key's file."""
    if not name:
        raise TokenRefusedError("a JWT needs --name, for the access log")
    try:
        import jwt
    except ImportError:
        raise TokenRefusedError("PyJWT is not installed here: use .venv/bin/python, or pip install pyjwt") from None
    now = int(time.time())
    claims = {
        "sub": name,
        "scope": scope,
        "iat": now,
        "exp": now + valid_days * 86400,
        "jti": secrets.token_hex(16),
    }
    if key is None:
        token = jwt.encode(claims, jwt_secret(), algorithm="HS256")
    else:
        try:
            token = jwt.encode(claims, Path(key).read_text(encoding="ascii"), algorithm="EdDSA")
        except (OSError, ValueError, TypeError, AttributeError, jwt.PyJWTError):
            raise TokenRefusedError(f"{key} holds no Ed25519 private key as PEM: make one with --new-key") from None
    print(f"jti: {claims['jti']}", file=sys.stderr)
    return token


def make_key(path: Path) -> None:
    """Writes a key pair: the private key for this user alone, the public one beside it. Overwrites nothing."""
    try:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise TokenRefusedError("cryptography is not installed here: use .venv/bin/python") from None
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    try:
        for file, content, mode in ((path, private, 0o600), (beside, public, 0o644)):
            with os.fdopen(os.open(str(file), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(content)
    except OSError as error:
        raise TokenRefusedError(f"{error.filename} cannot be written: {error.strerror}") from None
    print(f"{path}: sign with it; keep it where tokens are issued")
    print(f"{beside}: API_JWT_PUBLIC_KEY={beside.resolve()}")


def jwt_secret() -> str:
    """API_JWT_SECRET from the environment, else from .env. The secret is never an argument: others could read it."""
    secret = os.environ.get(SECRET_NAME) or secret_from_file(Path(__file__).resolve().parent.parent / ".env")
    if len(secret.encode()) >= SECRET_BYTES_AT_LEAST:
        return secret
    problem = f"shorter than {SECRET_BYTES_AT_LEAST} bytes" if secret else "not set"
    remedy = f"add this line to .env and restart the API: {SECRET_NAME}={secrets.token_urlsafe(32)}"
    raise TokenRefusedError(f"{SECRET_NAME} is {problem}: {remedy}")


def secret_from_file(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TokenRefusedError(f"{path} cannot be read: {error.strerror}") from None
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == SECRET_NAME:
            return value.strip().strip("'\"")
    return ""


if __name__ == "__main__":
    sys.exit(main())
