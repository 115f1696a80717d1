#!/usr/bin/env python3
"""Hash a sample of a pool's shares again, and believe nothing but the hashes. Needs nothing but Python 3.9.

    TOKEN=... python3 verify_shares.py http://localhost:8888 --hours 24 --sample 50
    TOKEN=... python3 verify_shares.py http://localhost:8888 --pays 0014ab...     # and see whom their blocks would pay

Each share is rebuilt from what the pool sent (coinbase, merkle branch) and what the miner found (extranonces, header).
It counts if the header's merkle root is that of the rebuilt coinbase, the header's hash meets the difficulty that was
credited, and the header's own time is that of the share. Which shares are sampled, a random number of ours decides.
Ends with 1 if any share is not what it claims, or fewer come than there are; with 2 if the API cannot be asked.
"""

import argparse
import hashlib
import json
import math
import os
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DIFFICULTY_1 = 0xFFFF << 208


class CannotAskError(Exception):
    """The API gave no shares to look at; the text says why."""


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
        # Work of another day, told as of today; a block's time may be off by two hours.
        "its header is of another time": abs(int.from_bytes(header[68:72], "little") - share["timestamp"]) <= 7200,
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


def asked(base, token, path, **parameters):
    request = urllib.request.Request(
        f"{base}{path}?{urllib.parse.urlencode(parameters)}", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            told = refusal.read().decode(errors="replace")
        raise CannotAskError(f"{base} answers {refusal.code}: {message(told)}") from None
    except OSError as error:
        raise CannotAskError(f"{base} cannot be reached: {getattr(error, 'reason', error)}") from None
    except ValueError:
        raise CannotAskError(f"{base} does not answer as a Sharehouse API does") from None


def message(body):
    """What the API says of an error, or the begin of what somebody else does."""
    try:
        return json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body[:200]


def sampled(base, token, hours, sample):
    """Shares of our choice, and how many there should be."""
    now = int(time.time())
    period = {"start_time": now - round(hours * 3600), "end_time": now}
    there = asked(base, token, "/api/shares/raw", limit=1, **period)["total_count"]
    shares = asked(base, token, "/api/shares/audit", sample=sample, seed=secrets.randbits(62), **period)["shares"]
    within = [one for one in shares if period["start_time"] <= one["timestamp"] < period["end_time"]]
    return within, min(sample, there)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="URL", help="where the API is")
    parser.add_argument("--hours", type=float, default=24, help="how far back (24)")
    parser.add_argument("--sample", type=int, default=50, help="how many shares, up to 100 (50)")
    parser.add_argument(
        "--pays", metavar="SCRIPT", help="output script, in hex, that the shares' blocks must pay alone"
    )
    chosen = parser.parse_args()
    if not os.environ.get("TOKEN"):
        print("put your token into the environment: TOKEN=... python3 verify_shares.py URL", file=sys.stderr)
        return 2
    try:
        shares, most = sampled(chosen.base.rstrip("/"), os.environ["TOKEN"], chosen.hours, chosen.sample)
    except CannotAskError as error:
        print(error, file=sys.stderr)
        return 2
    wrong, headers = 0, set()
    for share in shares:
        found = faults(share)
        if share["header"] in headers:
            found.append("its header counts twice")
        headers.add(share["header"])
        if chosen.pays and not found and not pays_alone(share, chosen.pays):
            found.append(f"its block would not pay {chosen.pays} alone")
        wrong += bool(found)
        for fault in found:
            print(f"{share['id']} of {share['worker']}: {fault}")
    print(f"{len(shares) - wrong} of {most} sampled shares are proven")
    return 1 if wrong or not shares or len(shares) < most else 0


if __name__ == "__main__":
    sys.exit(main())
