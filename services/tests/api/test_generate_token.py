"""scripts/generate_token.py as people run it: as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from services.api.options import ApiOptions
from services.api.tokens import TokenBook

SCRIPT = Path(__file__).parents[3] / "scripts" / "generate_token.py"
SECRET = "0123456789abcdef0123456789abcdef"


def run(
    *arguments: str, isolated: bool = False, script: Path = SCRIPT, **environment: str
) -> subprocess.CompletedProcess[str]:
    # -I -S: no site-packages, so that a need for anything installed shows.
    flags = ["-I", "-S"] if isolated else []
    return subprocess.run(
        [sys.executable, *flags, str(script), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "count"), [([], 1), (["3"], 3), (["1000"], 1000)])
def test_random_tokens_need_nothing_installed(arguments: list[str], count: int) -> None:
    done = run(*arguments, isolated=True)
    *tokens, line = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(set(tokens)) == count
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert line == "API_TOKENS=" + ",".join(tokens)


def test_the_line_for_env_is_what_the_api_takes() -> None:
    *tokens, line = run("2").stdout.splitlines()
    book = TokenBook(ApiOptions(read_tokens=tuple(line.removeprefix("API_TOKENS=").split(","))))
    assert all(book.holder(token.encode()) for token in tokens)


@pytest.mark.parametrize("count", ["0", "-1", "1001", "two", "1e3", "१"])
def test_a_silly_count_is_refused(count: str) -> None:
    assert run("--", count).returncode == 2


def test_a_jwt_is_one_the_api_takes() -> None:
    done = run("--jwt", "--name", "Validator A", "--scope", "admin", "--days", "2", API_JWT_SECRET=SECRET)
    token = done.stdout.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    holder = TokenBook(ApiOptions(jwt_secret=SECRET)).holder(token.encode())
    assert holder is not None
    assert holder.name == "Validator A"
    assert holder.scopes == {"admin"}
    assert claims["exp"] - claims["iat"] == 2 * 86400
    assert claims["jti"]


def test_the_secret_may_stand_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / SCRIPT.name
    script.write_text(SCRIPT.read_text())
    (tmp_path / ".env").write_text(f"# ours\nAPI_JWT_SECRET='{SECRET}'\nAPI_PORT=1\n")
    done = run("--jwt", "--name", "v", script=script)
    assert jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"])["sub"] == "v"


def test_a_jwt_without_a_secret_or_a_name_says_the_remedy(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / SCRIPT.name
    script.parent.mkdir()
    script.write_text(SCRIPT.read_text())
    unset = run("--jwt", "--name", "v", script=script)
    short = run("--jwt", "--name", "v", script=script, API_JWT_SECRET="short")
    nameless = run("--jwt", script=script, API_JWT_SECRET=SECRET)
    assert (unset.returncode, short.returncode, nameless.returncode) == (2, 2, 2)
    assert "API_JWT_SECRET is not set: add this line to .env" in unset.stderr
    assert "shorter than 32 bytes" in short.stderr
    assert "--name" in nameless.stderr
    assert not unset.stdout + short.stdout + nameless.stdout


def test_a_key_pair_signs_what_the_api_takes(tmp_path: Path) -> None:
    key = tmp_path / "issuer.pem"
    made = run("--new-key", str(key))
    assert made.returncode == 0
    assert f"API_JWT_PUBLIC_KEY={key}.pub" in made.stdout
    assert key.stat().st_mode & 0o777 == 0o600
    done = run("--jwt", "--key", str(key), "--name", "Validator A")
    public = (tmp_path / "issuer.pem.pub").read_text()
    holder = TokenBook(ApiOptions(jwt_public_key=public)).holder(done.stdout.strip().encode())
    assert holder is not None
    identity = done.stderr.strip().removeprefix("jti: ")
    revoking = TokenBook(ApiOptions(jwt_public_key=public, revoked=frozenset({identity})))
    assert revoking.holder(done.stdout.strip().encode()) is None
    again = run("--new-key", str(key))
    assert (again.returncode, "File exists" in again.stderr) == (2, True)
    wrong = run("--jwt", "--key", f"{key}.pub", "--name", "v")
    assert (wrong.returncode, "holds no Ed25519 private key" in wrong.stderr) == (2, True)
