"""Images under the names that docker/ asks for, made here: there is no registry to pull them from.

Debian's packages make the base image, and what stands in for other people's images (stand_ins/Dockerfile).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from services.tests.containers.machine import PATH

if TYPE_CHECKING:
    from services.tests.containers.engine import Engine

_HERE = Path(__file__).parent / "stand_ins"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_TRIMMED = ("var/lib/apt/lists", "var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale")
_ATTEMPTS = 3


def make_base(engine: Engine, name: str, folder: Path) -> None:
    """Debian with its Python, as the official image of that name is, under that name."""
    root = folder / "root"
    sources = _sources()
    for attempt in range(1, _ATTEMPTS + 1):
        shutil.rmtree(root, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root)]
        mirror = [uri for uri, suite in sources if suite == _SUITE][:1]
        done = subprocess.run([*command, *mirror], env={"PATH": PATH}, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        if attempt == _ATTEMPTS:
            raise RuntimeError(f"debootstrap failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    shutil.copyfile(Path("/") / _BUNDLE, root / _BUNDLE)
    for module in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
        module.unlink()
    for link, target in (("python", "python3"), ("python3", "python3"), ("pip", "pip3")):
        (root / "usr/local/bin" / link).symlink_to(f"/usr/bin/{target}")
    lines = [f"deb {uri} {suite} main\n" for uri, suite in sources if suite.startswith(_SUITE)]
    (root / "etc/apt/sources.list").write_text("".join(lines))
    for part in _TRIMMED:
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part).mkdir()
    changes = [f"ENV PIP_CERT=/{_BUNDLE}", f"ENV SSL_CERT_FILE=/{_BUNDLE}", 'CMD ["python3"]']
    with subprocess.Popen(["tar", "-c", "-C", str(root), "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", *(word for change in changes for word in ("--change", change)), "-", name],
            env=engine.environment,
            stdin=tar.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=300,
        )
    if tar.returncode:
        raise RuntimeError(f"tar ended with {tar.returncode}")
    shutil.rmtree(root)


def make_stand_ins(engine: Engine, names: dict[str, str], folder: Path) -> None:
    """Build each target of stand_ins/Dockerfile under the name that docker-compose.yml has for it."""
    context = folder / "stand-ins"
    shutil.copytree(_HERE, context)
    (context / "weed").hardlink_to(_copied(Path(sysconfig.get_path("scripts")) / "weed", folder / "weed"))
    for target, name in names.items():
        retried(engine, "build", "--quiet", "--target", target, "--tag", name, str(context))
    shutil.rmtree(context)


def retried(engine: Engine, *arguments: str) -> None:
    """A docker command that fetches: a network may fail once."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            engine.docker(*arguments, timeout_seconds=600)
            return
        except subprocess.CalledProcessError:
            if attempt == _ATTEMPTS:
                raise


def _copied(source: Path, target: Path) -> Path:
    shutil.copy2(source, target)
    return target


def _sources() -> list[tuple[str, str]]:
    """URI and suite of each Debian repository that this machine installs from."""
    format_ = "$(REPO_URI) $(RELEASE)"
    told = subprocess.check_output(
        ["apt-get", "indextargets", "--format", format_, "Created-By: Packages"], env={"PATH": PATH}, text=True
    )
    pairs = dict.fromkeys(tuple(line.split()) for line in told.splitlines() if len(line.split()) == 2)
    return [(uri, suite) for uri, suite in pairs if re.fullmatch(rf"{_SUITE}(-updates|-security)?", suite)]
