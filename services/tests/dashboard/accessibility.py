"""What axe-core finds wrong with a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.async_api import Page

_AXE = Path(__file__).parent / "vendored" / "axe.min.js"
_RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => [id, help, ...nodes.slice(0, 3).map((node) => node.html.slice(0, 200))].join(": "));
}"""


@cache
def _axe() -> str:
    return _AXE.read_text()


async def serious_issues(page: Page) -> list[str]:
    """Serious and critical ones, each with where it is. The script comes by the debugger: the page's policy forbids it
    any other way.
    """
    # A colour in transition is no colour of the page.
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate(_axe())
    found: list[str] = await page.evaluate(_RUN)
    return found
