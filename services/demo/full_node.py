"""A full node's JSON-RPC: block templates out of it, blocks into it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_ANSWER_SECONDS = 10.0
_MAX_ANSWER_BYTES = 64 * 1024 * 1024


class NodeError(OSError):
    """The node cannot be reached, or refuses what it is asked."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node answers JSON-RPC, and as whom it knows us."""

    url: str
    user: str = "sharehouse"
    password: str = field(default="", repr=False)


class FullNode:
    """``async with`` opens and closes the connection."""

    def __init__(self, address: NodeAddress) -> None:
        self._address = address

    async def __aenter__(self) -> FullNode:
        names = f"{self._address.user}:{self._address.password}"
        self._http = aiohttp.ClientSession(
            headers={"Authorization": "Basic " + base64.b64encode(names.encode()).decode()},
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def block_template(self) -> dict[str, Any]:
        """What the next block may be made of (BIP 22, BIP 23). Raises NodeError."""
        template = await self._call("getblocktemplate", {"rules": ["segwit"]})
        if not isinstance(template, dict):
            raise NodeError(f"{self._address.url} gives no block template")
        return template

    async def submit_block(self, block: bytes) -> str | None:
        """None where the node took the block, else why not, in its own word. Raises NodeError."""
        refusal = await self._call("submitblock", block.hex())
        return None if refusal is None else str(refusal)[:200]

    async def _call(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "1.0", "id": 1, "method": method, "params": list(params)}
        try:
            async with self._http.post(self._address.url, json=request) as reply:
                if reply.status in (401, 403):
                    raise NodeError(f"{self._address.url} refuses user and password")
                if (reply.content_length or 0) > _MAX_ANSWER_BYTES:
                    raise NodeError(f"{self._address.url} answers with more than {_MAX_ANSWER_BYTES} bytes")
                answer = await reply.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NodeError(f"{self._address.url} does not answer: {error or type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise NodeError(f"{self._address.url} speaks no JSON-RPC")
        if answer.get("error") is not None:
            raise NodeError(f"{self._address.url} refuses {method}: {str(answer['error'])[:200]}")
        return answer.get("result")
