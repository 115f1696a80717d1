"""Why a pool could not be reached, for people."""

from __future__ import annotations

import socket
import ssl


def reason(error: BaseException) -> str:
    """The reason, and where it is known what to look at."""
    match error:
        case TimeoutError():
            return "no answer in time; is it a Stratum pool, and does a firewall stand between?"
        case socket.gaierror() | UnicodeError():
            return "there is no host of that name (MINING_POOL_HOST), or this machine's name service does not answer"
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate cannot be trusted ({error.verify_message})"
        case ssl.SSLError():
            return "it does not speak TLS on that port (MINING_POOL_PORT, MINING_POOL_TLS)"
        case ConnectionRefusedError():
            return "refused, nobody listens on that port (MINING_POOL_PORT), or the pool is down"
        case ConnectionResetError():
            return "it hangs up; is it a Stratum pool, and does it speak TLS there (MINING_POOL_PORT, MINING_POOL_TLS)?"
        case _:
            return str(error) or type(error).__name__
