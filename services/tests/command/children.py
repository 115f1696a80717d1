"""Small real programs for the supervisor to run."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from services.command import probe
from services.command.service import Service

if TYPE_CHECKING:
    from pathlib import Path

# Answers 200 on its port; on SIGTERM it notes its name in the journal and ends.
SERVER = """
import http.server, pathlib, signal, socketserver, sys
from services.command.parent import end_with_parent
name, port, journal = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
def note(what):
    with journal.open("a") as file:
        file.write(f"{what} {name}\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
def stop(*_):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
socketserver.TCPServer.allow_reuse_address = True
server = socketserver.TCPServer(("127.0.0.1", port), Handler)
end_with_parent()
note("start")
print(f"{name} listens", flush=True)
server.serve_forever()
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def server(name: str, port: int, journal: Path) -> Service:
    """A service that is ready when it answers, and keeps a journal of starts and stops."""
    command = (sys.executable, "-c", SERVER, name, str(port), str(journal))
    return Service(name, command, probe.http("127.0.0.1", port, "/"))


def program(name: str, code: str, ready: probe.Probe = probe.always) -> Service:
    """A service that runs this code."""
    return Service(name, (sys.executable, "-c", code), ready)


async def never() -> bool:
    """A probe of what is never ready."""
    return False


def impatient(service: Service, seconds: float) -> Service:
    """The same, with less time to become ready."""
    return replace(service, ready_within_seconds=seconds)
