"""Whatever a request may look like, the API answers as /openapi.json says: schemathesis makes the requests.

Run: python -m services.bench.conformance [--examples N] [--seconds S]; a short form is among the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import jwt

from services.api.app import create_app
from services.api.options import ApiOptions, RateLimitOptions
from services.bench.empty_clickhouse import empty_clickhouse
from services.bench.page_queries import fill
from services.bench.processes import free_port, service, wait_for_port
from services.web.serving import serve_app

TOKEN: Final = "a-token-of-the-benchmark"
SECRET: Final = "a-secret-of-the-benchmark-32-bytes"
UNLIMITED: Final = RateLimitOptions(*[1_000_000_000] * 4)
# What no schema can say is refused with 400 and 406: periods that end before they begin, days that are none.
_CONFIGURATION: Final = """\
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 406, 414]
"""


def run_schemathesis(url: str, token: str | None, *, examples: int, seconds: int) -> tuple[int, int, str]:
    """Exit code (0: all is as described), how many requests were made, and what schemathesis said.

    Any 5xx is a fault. Streams of events must end by themselves (`Feed.close`), and no proxy may live, for whose answer
    a reload waits.
    """
    with tempfile.TemporaryDirectory(prefix="schemathesis-") as folder:
        configuration = Path(folder) / "schemathesis.toml"
        configuration.write_text(_CONFIGURATION)
        authorized = ["--header", f"Authorization: Bearer {token}"] if token else []
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(configuration)),
                *("run", f"{url}/openapi.json", "--checks", "all", "--no-color", "--continue-on-failure", *authorized),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)),
                *("--max-time", str(seconds), "--request-timeout", "30", "--warnings", "off"),
                "--generation-deterministic",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    made = re.search(r"(\d+) generated", done.stdout)
    return done.returncode, int(made[1]) if made else 0, done.stdout + done.stderr


async def serve_ending(options: ApiOptions) -> None:
    """The API, whose streams of events end after their first line."""
    app = create_app(options)
    app.state.feed.close()
    await serve_app(app, options.host, options.port, name="API", port_setting="API_PORT")


def full_token(secret: str) -> str:
    """A token with both scopes, so that every endpoint can be looked at."""
    claims = {"sub": "conformance", "scope": "read admin", "exp": time.time() + 7200, "jti": "conformance"}
    return jwt.encode(claims, secret, "HS256")


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500, help="requests for each endpoint, at most")
    parser.add_argument("--seconds", type=int, default=600, help="for each of the two runs, at most")
    asked = parser.parse_args()
    with empty_clickhouse(core=0) as address:
        options = ApiOptions(clickhouse=address, port=free_port(), jwt_secret=SECRET, rate_limits=UNLIMITED)
        client = await fill(address, int(time.time()), 20_000, 50)
        await client.close()
        with service(serve_ending, options, core=1):
            wait_for_port(options.port)
            failed = False
            for token in (full_token(SECRET), None):
                code, made, said = await asyncio.to_thread(
                    run_schemathesis,
                    f"http://127.0.0.1:{options.port}",
                    token,
                    examples=asked.examples,
                    seconds=asked.seconds,
                )
                print(f"{'with' if token else 'without'} a token: {made} requests, exit code {code}", flush=True)
                if code:
                    print(said)
                    failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
