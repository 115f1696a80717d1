"""The pages' own files, as browsers ask for them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from services.dashboard.assets import PLACE, Assets

FOLDER = Path("services/dashboard/static")


@pytest.fixture
def assets() -> Assets:
    return Assets()


def asking(assets: Assets) -> httpx.AsyncClient:
    app = Starlette()
    app.mount(PLACE, assets)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://pages{PLACE}/")


async def test_a_file_of_this_version_is_kept_for_a_year_and_compressed_once(assets: Assets) -> None:
    content = (FOLDER / "live.js").read_bytes()
    async with asking(assets) as client:
        plain = await client.get(f"{assets.version}/live.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get(f"{assets.version}/live.js", headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content == content
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(gzip.compress(content, 9))
    for answer in (plain, packed):
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("version", ["", "0123456789ab/"])
async def test_a_file_of_no_version_or_of_another_is_the_one_of_now_and_not_kept(assets: Assets, version: str) -> None:
    async with asking(assets) as client:
        answer = await client.get(f"{version}base.css")
        assert answer.content == (FOLDER / "base.css").read_bytes()
        assert "Cache-Control" not in answer.headers
        same = await client.get(f"{version}base.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize("path", ["", "no.js", "licenses", "../app.py", "%2e%2e/app.py", "x/../../app.py"])
async def test_nothing_else_is_given(assets: Assets, path: str) -> None:
    async with asking(assets) as client:
        assert (await client.get(f"{assets.version}/{path}")).status_code == 404
        assert (await client.get(path)).status_code == 404
        assert (await client.post(f"{assets.version}/live.js")).status_code == 405


def test_scripts_name_each_other_by_paths_beside_them() -> None:
    for script in FOLDER.glob("*.js"):
        for path in re.findall(r'from "([^"]+)"', script.read_text()):
            assert (FOLDER / path).is_file(), path
            assert re.fullmatch(r"\./[^/]+", path)
