"""The project's own virtual environment, `.venv`, made from the locks in `requirements/`.

    python3 scripts/environment.py runtime|dev

makes it hold what that lock lists, and the project itself; quick when it already does. Standard library only.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
_STAMP = VENV / "lock-stamp.json"
# The development lock holds everything that the runtime lock holds, in the same versions.
_COVERS = {"runtime": ("runtime",), "dev": ("runtime", "dev")}


def ensure(lock_name: str) -> None:
    """Make `.venv` hold what `requirements/LOCK_NAME.txt` lists and the project itself; quick when it already does."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        _fail(f"this Python lacks venv or ensurepip. On Debian and Ubuntu: apt install python{version}-venv")
    try:
        VENV.mkdir(exist_ok=True)
        with open(VENV / "setup.lock", "w") as setup:
            fcntl.flock(setup, fcntl.LOCK_EX)
            if not _usable() or _stamps().get(lock_name) != _stamp(lock_name):
                _install(lock_name)
    except OSError as error:
        _fail(f"cannot set up {VENV}: {error.strerror or error}")


def _fail(reason: str) -> NoReturn:
    """End with one line on stderr and exit code 2."""
    print(f"setup: {reason}", file=sys.stderr)
    raise SystemExit(2)


def _install(lock_name: str) -> None:
    lock = ROOT / "requirements" / f"{lock_name}.txt"
    started = time.monotonic()
    print(
        f"Setting up {VENV.relative_to(ROOT)} from requirements/{lock.name} (only when the lock has changed)",
        flush=True,
    )
    if not _usable():
        for name in ("bin", "lib", "lib64", "include", "pyvenv.cfg", _STAMP.name):
            _remove(VENV / name)
        _run("creating the environment", [sys.executable, "-m", "venv", str(VENV)])
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--no-deps"]
    _run_pip([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], lock.read_text().count("=="))
    _run("installing the project", [*pip, "--quiet", "--no-build-isolation", "--editable", str(ROOT)])
    stamps = {**_stamps(), **{name: _stamp(name) for name in _COVERS[lock_name]}}
    _STAMP.write_text(json.dumps(stamps))
    print(f"  ready after {time.monotonic() - started:.0f} s", flush=True)


def _usable() -> bool:
    """Whether `.venv` holds a Python that runs: the one that it was made from may be gone, or too old."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(PYTHON), "-c", check], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except OSError:
        return False


def _stamps() -> dict[str, str]:
    try:
        stamps: dict[str, str] = json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamps


def _stamp(lock_name: str) -> str:
    """What the environment was made from: the lock, the project's description, and where the clone stands."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "requirements" / f"{lock_name}.txt", ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(what: str, command: list[str]) -> None:
    print(f"  {what}", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        _fail(f"{what} failed (see above)")


def _run_pip(command: list[str], total: int) -> None:
    """Run pip with its chatter reduced to one line of progress; all of it is shown when it fails."""
    chatter = []
    live = sys.stdout.isatty()
    fetched = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            chatter.append(line)
            words = line.split()
            if words[:1] == ["Collecting"]:
                fetched += 1
                if live or fetched % 10 == 0:
                    end = "" if live else "\n"
                    print(f"{chr(13) if live else ''}  {fetched}/{total} {words[1][:60]:<60}", end=end, flush=True)
            elif words[:1] == ["Installing"]:
                print(f"{chr(13) if live else ''}  {'unpacking the packages':<70}", flush=True)
    if pip.returncode:
        print("".join(chatter), file=sys.stderr)
        _fail("pip could not install the locked packages (see above); run this again once the cause is gone")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


if __name__ == "__main__":
    ensure(sys.argv[1])
