#!/usr/bin/env python3
"""Hash a sample of a pool's shares again, and believe nothing but the hashes. Needs nothing but Python 3.9.

    TOKEN=... python3 verify_shares.py http://localhost:8888 --hours 24 --sample 50
    TOKEN=... python3 verify_shares.py http://localhost:8888 --pays 0014ab...     # and see whom their blocks would pay

Each share is rebuilt from what the pool sent (coinbase, merkle branch) and what the miner found (extranonces, header).
It counts if the header's merkle root is that of the rebuilt coinbase and the header's hash meets the difficulty that
was credited. Which shares are sampled, a random number of ours decides. Ends with 1 if any share is not what it claims.
"""

import argparse
import hashlib
import json
import math
import os
import secrets
import sys
import time
import urllib.parse
import urllib.request

DIFFICULTY_1 = 0xFFFF << 208


def sha256d(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def faults(share):
    """What is wrong with a share, in words; nothing if it is proven."""
    job, header = share["job"], bytes.fromhex(share["header"])
    if job is None or len(header) != 80:
        return ["there is nothing to prove it by"]
    coinbase = bytes.fromhex(job["coinbase1"] + share["extranonce1"] + share["extranonce2"] + job["coinbase2"])
    root = sha256d(coinbase)
    for sibling in job["merkle_branch"]:
        root = sha256d(root + bytes.fromhex(sibling))
    number = int.from_bytes(sha256d(header), "little")
    difficulty = DIFFICULTY_1 / number
    checks = {
        "the merkle root does not follow from the coinbase": header[36:68] == root,
        "it does not build on the job's block": header[4:36] == bytes.fromhex(job["prevhash"]),
        "its network target is not the job's": header[72:76] == job["nbits"].to_bytes(4, "little"),
        "its hash is not the one told": share["block_hash"] == f"{number:064x}",
        "its difficulty is not the one told": math.isclose(difficulty, share["actual_difficulty"], rel_tol=1e-9),
        "its hash does not meet the credited difficulty": difficulty >= share["pool_difficulty"] * (1 - 1e-12),
    }
    return [fault for fault, holds in checks.items() if not holds]


def outputs(coinbase):
    """What a coinbase without witness pays: satoshi and script of each output."""
    script_size, at = size_at(coinbase, 41)
    count, at = size_at(coinbase, at + script_size + 4)
    found = []
    for _ in range(count):
        satoshi = int.from_bytes(coinbase[at : at + 8], "little")
        size, at = size_at(coinbase, at + 8)
        found.append((satoshi, coinbase[at : at + size]))
        at += size
    return found


def size_at(data, at):
    """A number of variable length (Bitcoin's CompactSize), and where it ends."""
    width = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(data[at], 0)
    return (int.from_bytes(data[at + 1 : at + 1 + width], "little") if width else data[at]), at + 1 + width


def pays_alone(share, script):
    """Whether every output with coins has this script."""
    job = share["job"]
    coinbase = bytes.fromhex(job["coinbase1"] + share["extranonce1"] + share["extranonce2"] + job["coinbase2"])
    return all(one == bytes.fromhex(script) for satoshi, one in outputs(coinbase) if satoshi)


def sampled(base, token, hours, sample):
    now = int(time.time())
    asked = {"start_time": now - round(hours * 3600), "end_time": now, "sample": sample, "seed": secrets.randbits(62)}
    request = urllib.request.Request(
        f"{base}/api/shares/audit?{urllib.parse.urlencode(asked)}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["shares"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="URL", help="where the API is")
    parser.add_argument("--hours", type=float, default=24, help="how far back (24)")
    parser.add_argument("--sample", type=int, default=50, help="how many shares, up to 100 (50)")
    parser.add_argument(
        "--pays", metavar="SCRIPT", help="output script, in hex, that the shares' blocks must pay alone"
    )
    asked = parser.parse_args()
    shares = sampled(asked.base, os.environ["TOKEN"], asked.hours, asked.sample)
    wrong, headers = 0, set()
    for share in shares:
        found = faults(share)
        if share["header"] in headers:
            found.append("its header counts twice")
        headers.add(share["header"])
        if asked.pays and not found and not pays_alone(share, asked.pays):
            found.append(f"its block would not pay {asked.pays} alone")
        wrong += bool(found)
        for fault in found:
            print(f"{share['id']} of {share['worker']}: {fault}")
    print(f"{len(shares) - wrong} of {len(shares)} sampled shares are proven")
    return 1 if wrong or not shares else 0


if __name__ == "__main__":
    sys.exit(main())
