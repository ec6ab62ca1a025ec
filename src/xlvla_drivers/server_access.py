"""Access to the servers that browsers connect to: a key in the address, certificates, and the
names that lead to this machine.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import secrets
import socket
import ssl
import string

from xlvla.errors import XlvlaError
from xlvla.files import write_text
from xlvla_drivers.own_folder import own_folder

LETTERS = string.ascii_lowercase + string.digits
KEY_LENGTH = 14
"""Some 72 bits, and still to be typed on a headset."""


def own_key(server: str) -> str:
    """The key of this user's server of that name; the same until the folder for temporary files is
    cleared, so that a bookmark works.

    Its file can only be read by this user; a program on this machine finds it there.
    """
    path = own_folder() / f"{server}.key"
    with contextlib.suppress(OSError):
        stored = path.read_text()
        if len(stored) == KEY_LENGTH and set(stored) <= set(LETTERS):
            return stored
    new = "".join(secrets.choice(LETTERS) for _ in range(KEY_LENGTH))
    write_text(path, new)
    path.chmod(0o600)
    return new


def is_key(given: str, key: str) -> bool:
    """Whether a stranger gave the key; takes as long wherever the two differ."""
    return hmac.compare_digest(given.encode(errors="replace"), key.encode())


def certified(certificate: str, key: str, option: str) -> ssl.SSLContext:
    """What a server encrypts with.

    Args:
        certificate, key: PEM files; no key where the certificate's file has it.
        option: what the certificate was given as, for the error.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise XlvlaError(f"{option}: {certificate} cannot be used: {error}") from None
    return context


def called(host: str) -> str:
    """The name by which others reach the machine that serves at a host."""
    if is_loopback(host):
        return "localhost"
    if host in ("", "0.0.0.0", "::"):
        return socket.gethostname()
    return host


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
