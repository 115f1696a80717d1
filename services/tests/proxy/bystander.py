"""An honest miner in a process of its own: prints how many seconds each of its pings took, one a line."""

from __future__ import annotations

import socket
import sys
import time

PAUSE_SECONDS = 0.01


def main() -> None:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as connection:
        lines = connection.makefile("rb")
        connection.sendall(b'{"id":1,"method":"mining.subscribe","params":["bystander"]}\n')
        while b'"id":1,' not in lines.readline():
            pass
        while True:
            began = time.perf_counter()
            connection.sendall(b'{"id":2,"method":"mining.ping","params":[]}\n')
            while b"pong" not in (line := lines.readline()):
                if not line:
                    return
            sys.stdout.write(f"{time.perf_counter() - began}\n")
            sys.stdout.flush()
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
