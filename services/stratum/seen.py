"""Which headers have been submitted already."""

from __future__ import annotations

MAX_PREVHASHES = 3


class SeenHeaders:
    """Remembers hashes of submitted headers per prevhash, whatever job id or connection they came by.

    A header of an older prevhash is refused as stale anyway, so only the newest few prevhashes are kept, and at most
    ``max_headers`` (about 100 bytes each); beyond, the oldest prevhash goes first, then the oldest headers.

    Nothing of it outlives the process: on a new connection to the pool a header comes back only by chance
    (docs/ARCHITECTURE.md, "A header counts once").
    """

    def __init__(self, max_headers: int = 2_000_000) -> None:
        self._max_headers = max_headers
        # Each header with whether nobody judged it.
        self._seen: dict[bytes, dict[bytes, bool]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, prevhash: bytes, block_hash: bytes) -> bool:
        """Notes a header by its prevhash and hash (32 bytes each); False if it was there before."""
        headers = self._seen.get(prevhash)
        if headers is None:
            headers = self._seen[prevhash] = {}
            while len(self._seen) > MAX_PREVHASHES:
                self._drop_oldest_prevhash()
        key = block_hash[:16]
        if key in headers:
            return False
        headers[key] = False
        self._count += 1
        if self._count > self._max_headers:
            self._make_room(prevhash)
        return True

    def note_unjudged(self, prevhash: bytes, block_hash: bytes) -> None:
        """What became of a header that was added is unknown, so it says nothing about who sends it again."""
        headers = self._seen.get(prevhash, {})
        if (key := block_hash[:16]) in headers:
            headers[key] = True

    def is_unjudged(self, prevhash: bytes, block_hash: bytes) -> bool:
        """Whether a header was noted so."""
        return self._seen.get(prevhash, {}).get(block_hash[:16], False)

    def _make_room(self, prevhash: bytes) -> None:
        """Never forgets the header just added, to which a replay is likeliest."""
        if next(iter(self._seen)) != prevhash:
            self._drop_oldest_prevhash()
        else:
            headers = self._seen[prevhash]
            del headers[next(iter(headers))]
            self._count -= 1

    def _drop_oldest_prevhash(self) -> None:
        self._count -= len(self._seen.pop(next(iter(self._seen))))
