"""The certificate of the TLS listeners: read at the start, and again whenever its files change."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.proxy.options import TlsOptions

log = structlog.get_logger()

LOOK_EVERY_SECONDS: Final = 2.0

_Stamp = tuple[tuple[int, int, int] | None, ...]


class CertificateError(ValueError):
    """Files that cannot serve. ``part`` is the option at fault, "certificate" or "key"; the text says why."""

    def __init__(self, part: str, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.part = part


class Certificate:
    """``context`` is what a new handshake is to use; connections that stand keep theirs.

    ``told(True)`` is called after each reload, ``told(False)`` where new files cannot serve and the old ones go on.
    """

    def __init__(self, options: TlsOptions, told: Callable[[bool], None]) -> None:
        """Raises CertificateError."""
        self._options = options
        self._told = told
        self._stamp = self._stamp_now()
        self.context = load(options)

    async def watch(self) -> None:
        """Looks at the files every LOOK_EVERY_SECONDS until it is cancelled; symbolic links are followed."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            stamp = await asyncio.to_thread(self._stamp_now)
            if stamp != self._stamp:
                self._stamp = stamp
                await self._reload()

    async def _reload(self) -> None:
        file = str(self._options.certificate)
        try:
            self.context = await asyncio.to_thread(load, self._options)
        except CertificateError as error:
            log.error("certificate_refused", part=error.part, why=str(error), in_force="the one that was read before")
            self._told(False)
        else:
            log.info("certificate_reloaded", certificate=file)
            self._told(True)

    def _stamp_now(self) -> _Stamp:
        return tuple(_stamp(path) for path in (self._options.certificate, self._options.key))


def load(options: TlsOptions) -> ssl.SSLContext:
    """A server's context, TLS 1.2 or newer. Raises CertificateError."""
    certificate, key = options.certificate, options.key
    for part, path in (("certificate", certificate), ("key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise CertificateError(part, path, f"{error.strerror}; name a file that this user can read") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(certificate)
    except (ssl.SSLError, OSError):
        why = "not a certificate in PEM format; it starts with -----BEGIN CERTIFICATE-----, the host's own first"
        raise CertificateError("certificate", certificate, why) from None
    try:
        # An empty password, since OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        mismatch = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        why = f"not the key of {certificate}" if mismatch else "not a private key in PEM format without a password"
        raise CertificateError("key", key, f"{why}; name the key that the certificate was made with") from None
    return context


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
