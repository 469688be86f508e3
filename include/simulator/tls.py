"""The certificates: an authority that can outlive a restart, and a context that notices plain HTTP."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import trustme

NAMES = ("127.0.0.1", "localhost")


def authority(directory: Path) -> tuple[trustme.CA, Path]:
    """Load the certificate authority of a directory, or make one; give it and its certificate's path."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = directory / "ca.pem", directory / "ca.key"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes()), certificate
    ca = trustme.CA()
    key.unlink(missing_ok=True)
    # Made with its mode, so that the key is at no moment open to others.
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(ca.private_key_pem.bytes())
    certificate.write_bytes(ca.cert_pem.bytes())
    return ca, certificate


def server_context(ca: trustme.CA, name: str, on_plain_http: Callable[[], None]) -> ssl.SSLContext:
    """Make the TLS context of the server of that name; `on_plain_http` hears of clients that spoke HTTP without TLS."""

    class Handshake(ssl.SSLObject):
        """Tells a plain request apart from other failed handshakes: its bearer was readable on the wire."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except ssl.SSLError as error:
                if error.reason == "HTTP_REQUEST":
                    on_plain_http()
                raise

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Handshake
    ca.issue_cert(*{*NAMES, name}).configure_cert(context)
    return context
