"""Fills in what is random in docker/.env; scripts/env-init explains it. Standard library only."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import sys
from pathlib import Path

DOCKER = Path(__file__).resolve().parent.parent / "docker"
SECRETS = ("CLICKHOUSE_PASSWORD", "API_TOKENS", "REWARDS_POST_TOKEN", "DASHBOARD_PASSWORD", "GRAFANA_PASSWORD")
PREFIX = "AWS_S3_PREFIX"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="env-init")
    parser.add_argument("--file", type=Path, default=DOCKER / ".env")
    parser.add_argument("--files", action="store_true")
    chosen = parser.parse_args()
    file: Path = chosen.file
    try:
        if not file.exists():
            shutil.copyfile(DOCKER / ".env.example", file)
            print(f"{file}: made from .env.example")
        text, made = filled(file.read_text(), file.parent / "secrets" if chosen.files else None)
        _write(file, text, 0o600)
    except (OSError, UnicodeDecodeError) as error:
        print(f"env-init: {file}: {error}", file=sys.stderr)
        return 2
    for name in made:
        print(f"{file}: {name} made")
    print(f"{file}: " + ("the rest was set already" if made else "nothing to make, all of it was set already"))
    return 0


def filled(text: str, folder: Path | None) -> tuple[str, list[str]]:
    """The text with a value for each name that has none, and the names. With a folder, secrets become files there."""
    made = []
    for name in (*SECRETS, PREFIX):
        if _value(text, name) or _value(text, f"{name}_FILE"):
            continue
        made.append(name)
        if name == PREFIX:
            text = _with(text, name, f"sharehouse/{secrets.token_hex(6)}")
        elif folder is None:
            text = _with(text, name, secrets.token_urlsafe(32))
        else:
            folder.mkdir(mode=0o700, exist_ok=True)
            # The containers' users read it; nobody on this machine comes past the folder.
            _write(folder / name.lower(), secrets.token_urlsafe(32) + "\n", 0o444)
            text = _with(text, f"{name}_FILE", f"./{folder.name}/{name.lower()}")
    return text, made


def _value(text: str, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[-1].strip().strip("\"'") if found else ""


def _with(text: str, name: str, value: str) -> str:
    """The line of that name, commented out or not, with this value; at the end where there is none."""
    line = f"{name}={value}"
    changed, count = re.subn(rf"^(?:# ?)?{name}=.*$", line, text, count=1, flags=re.MULTILINE)
    return changed if count else f"{text.rstrip()}\n{line}\n"


def _write(path: Path, text: str, mode: int) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
