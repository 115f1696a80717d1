"""Images under the names that docker/ asks for, made here: there is no registry to pull them from.

Debian's packages make the base image, and what stands in for other people's images (stand_ins/Dockerfile).
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from services.tests.containers import machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.tests.containers.engine import Engine

_HERE = Path(__file__).parent / "stand_ins"
_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_LEFT_OUT = ("doc", "man", "locale")
_LINKS = {"python": "/usr/bin/python3", "python3": "/usr/bin/python3", "pip": "/usr/bin/pip3"}
_BASE_SECONDS = 300.0
_ATTEMPTS = 3


def make_base(engine: Engine, name: str, folder: Path) -> None:
    """Debian with its Python, as the official image of that name is, under that name."""
    archive = folder / "base.tar"
    root = '"$1"'
    hooks = [
        f"rm -f {root}/usr/lib/python3*/EXTERNALLY-MANAGED",
        f"upload /{_BUNDLE} /{_BUNDLE}",
        *(f"ln -s {target} {root}/usr/local/bin/{link}" for link, target in _LINKS.items()),
    ]
    command = [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={_PACKAGES}",
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _LEFT_OUT),
        "--dpkgopt=force-unsafe-io",
        *(f"--customize-hook={hook}" for hook in hooks),
        machine.SUITE,
        str(archive),
        *(f"deb {uri} {suite} main" for uri, suite in machine.sources(machine.SUITE)),
    ]
    for attempt in range(1, _ATTEMPTS + 1):
        archive.unlink(missing_ok=True)
        try:
            engine.run(command, timeout_seconds=_BASE_SECONDS, TMPDIR=str(folder))
            break
        except subprocess.CalledProcessError:
            if attempt == _ATTEMPTS:
                raise
    changes = [f"ENV PIP_CERT=/{_BUNDLE}", f"ENV SSL_CERT_FILE=/{_BUNDLE}", 'CMD ["python3"]']
    words = [word for change in changes for word in ("--change", change)]
    engine.docker("import", *words, str(archive), name, timeout_seconds=_BASE_SECONDS)
    archive.unlink()


def make_stand_ins(engine: Engine, names: dict[str, str], folder: Path, targets: Iterable[str]) -> None:
    """Build these targets of stand_ins/Dockerfile under the names that docker-compose.yml has for them."""
    for target in targets:
        context = folder / f"stand-in-{target}"
        shutil.copytree(_HERE, context)
        if target == "seaweedfs":
            shutil.copy2(Path(sysconfig.get_path("scripts")) / "weed", context)
        retried(engine, "build", "--quiet", "--target", target, "--tag", names[target], str(context))
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
