"""/openapi.json says exactly what is answered; docs/API.md and the pages say the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.api.app import create_app
from services.api.errors import ErrorBody
from services.api.options import ApiOptions
from services.tests.api.conftest import READ, api, keep
from services.tests.api.known_shares import known_shares

if TYPE_CHECKING:
    from services.warehouse.address import ClickHouseAddress

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "API.md").read_text()


def description() -> dict[str, Any]:
    return create_app(ApiOptions(read_tokens=("t",))).openapi()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def assert_described(value: Any, schema: dict[str, Any], whole: dict[str, Any], at: str) -> None:
    """`value` has exactly the fields, types and bounds that `schema` names."""
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    types: dict[str, Any] = {
        "boolean": bool,
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
    }
    if "type" in schema:
        assert isinstance(value, types[schema["type"]]), at
    assert "const" not in schema or value == schema["const"], at
    assert "enum" not in schema or value in schema["enum"], at
    assert "minimum" not in schema or value >= schema["minimum"], at
    assert "pattern" not in schema or re.search(schema["pattern"], value), at
    if "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys(), at
        assert value.keys() <= schema["properties"].keys(), at
        for name, inner in value.items():
            assert_described(inner, schema["properties"][name], whole, f"{at}.{name}")
    elif isinstance(schema.get("additionalProperties"), dict):
        for name, inner in value.items():
            assert_described(inner, schema["additionalProperties"], whole, f"{at}[{name!r}]")
    if "items" in schema:
        for index, inner in enumerate(value):
            assert_described(inner, schema["items"], whole, f"{at}[{index}]")


async def test_answers_are_as_described(store: ClickHouseAddress) -> None:
    await keep(store, known_shares(int(time.time()), spread=100))
    async with api(store) as client:
        whole = (await client.get("/openapi.json")).json()
        calls: list[tuple[str, dict[str, str], dict[str, str]]] = [
            ("/health", {}, {}),
            ("/api/pool/stats", {}, READ),
            ("/api/pool/stats", {"pool": "normal"}, READ),
            ("/api/stats/summary", {}, {}),
            ("/api/workers/stats", {}, READ),
            ("/api/workers/stats", {}, {}),
            ("/api/workers/timerange", {"start_time": "9", "end_time": "9"}, READ),
            (
                "/api/workers/timerange",
                {"start_time": f"{time.time() - 900:.0f}", "end_time": f"{time.time():.0f}"},
                READ,
            ),
            ("/api/pool/stats", {"pool": "x" * 257}, READ),
        ]
        for path, parameters, headers in calls:
            answer = await client.get(path, params=parameters, headers=headers)
            said = whole["paths"][path]["get"]["responses"][str(answer.status_code)]
            assert_described(answer.json(), said["content"]["application/json"]["schema"], whole, path)
            assert {name.lower() for name in said["headers"]} <= answer.headers.keys()


def test_every_field_that_is_always_sent_is_required() -> None:
    schemas = description()["components"]["schemas"]
    for name in ("PoolFigures", "WorkerFigures", "Health", "Summary", "WorkersAnswer", "ErrorBody", "ErrorFacts"):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name
    answer = schemas["PoolAnswer"]
    assert set(answer["properties"]) - set(answer["required"]) == {"pools_included"}
    assert answer["properties"]["pools_included"]["type"] == "array"
    assert "HTTPValidationError" not in schemas


def test_every_route_names_its_errors_and_its_token() -> None:
    for path, methods in description()["paths"].items():
        for method, facts in methods.items():
            assert facts["summary"], (path, method)
            if path == "/api/stats/summary":
                assert {"200", "304", "413", "414", "429", "503"} == facts["responses"].keys()
            elif path != "/health":
                assert {"200", "401", "403", "422", "503"} <= facts["responses"].keys()
                assert facts["security"]


def test_the_guide_and_the_description_name_the_same_routes() -> None:
    described = {f"{method.upper()} {path}" for path, methods in description()["paths"].items() for method in methods}
    documented = set(re.findall(r"^### ((?:GET|POST|PUT|DELETE) \S+)$", GUIDE, re.MULTILINE))
    assert documented == described


def test_the_guides_examples_have_the_fields_that_are_sent() -> None:
    whole = description()
    sections = re.findall(r"^### (GET|POST) (\S+)$(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    examples = {
        (method.lower(), path): json.loads(block)
        for method, path, text in sections
        for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    }
    streams = {("get", "/api/events")}
    assert examples.keys() == {(method, path) for path, own in whole["paths"].items() for method in own} - streams
    for (method, path), example in examples.items():
        answered = whole["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        assert_described(example, answered, whole, path)
    errors = GUIDE.partition("\n## Errors\n")[2]
    assert ErrorBody(**json.loads(errors.partition("```json\n")[2].partition("```")[0])).error.code == "INVALID_TOKEN"


def test_the_guide_lists_every_error_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "services" / "api").glob("*.py"))
    before = r'ApiError\(\d+, |\b\d{3}: |\b\d{3}, |"[a-z]+": \('
    codes = set(re.findall(rf'(?:{before})"([A-Z_]+)"', source)) - {"BAD_REQUEST"}
    assert codes == set(re.findall(r"^\| \d{3} \| `([A-Z_]+)`", GUIDE, re.MULTILINE))


async def test_the_guides_commands_and_program_run(store: ClickHouseAddress) -> None:
    await keep(store, known_shares(int(time.time()), spread=100))
    async with api(store) as client:
        environment = {
            **os.environ,
            "TOKEN": "reader-token",
            "ADMIN_TOKEN": "admin-token",
            "API_URL": str(client.base_url),
        }
        commands = [block.replace("http://localhost:8888", str(client.base_url)) for block in blocks("bash")]
        curls = [command for command in commands if command.startswith("curl")]
        assert len(curls) == 12
        for command in curls:
            # One of them follows a stream without end.
            live = "curl -N" in command
            script = command.replace("curl ", "curl --silent --show-error --fail-with-body ")
            ended = await asyncio.create_subprocess_shell(
                f"set -e\n{script.strip()}{' | head -n 1' if live else ''}",
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await ended.communicate()
            if "/proof" in command:
                # The guide's share is not among ours.
                assert b"UNKNOWN_SHARE" in output
                continue
            assert ended.returncode == 0, output
            assert output.startswith(b"retry:" if live else b"{")
        (program,) = blocks("python")
        ended = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await ended.communicate()
    assert ended.returncode == 0
    assert "Gh/s from ['high_diff', 'normal', 'tiny']" in output.decode()
    assert "naïve.矿工 ok " in output.decode()


async def test_the_reference_pages_load_nothing_from_elsewhere(store: ClickHouseAddress) -> None:
    async with api(store) as client:
        for page in ("/docs", "/redoc"):
            answer = await client.get(page)
            assert answer.status_code == 200
            loaded = re.findall(r'(?:src|href|spec-url)="([^"]+)"', answer.text)
            assert loaded
            for address in set(loaded) - {"data:,"}:
                assert "//" not in address
                assert (await client.get(f"/{address}")).status_code == 200
            assert "script-src 'self';" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("where", ["api/static", "dashboard/static", "tests/dashboard/vendored"])
def test_vendored_files_are_the_ones_named(where: str) -> None:
    folder = ROOT / "services" / where
    table = (folder / "VENDORED.md").read_text()
    rows = re.findall(r"^\| (\S+) \| \S+ \d[\d.]+ \| [^|]*?(\S+\.txt) \| ([0-9a-f]{64}) \|$", table, re.MULTILINE)
    assert {name for name, *_ in rows} == {
        path.name
        for path in folder.iterdir()
        if path.suffix in {".js", ".css"} and path.stat().st_size and is_vendored(path)
    }
    for name, licence, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / licence).is_file()


def is_vendored(path: Path) -> bool:
    """Ours are readable: no line is longer than 300 characters."""
    return max(map(len, path.read_text().splitlines())) > 300
