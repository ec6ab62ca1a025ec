"""A keystore of DDS security, in the folders and files in which SROS2 looks for it.

Two files of every enclave say who it is (certificate and key), one what everybody must do in this
graph (governance) and one what this one may publish and subscribe (permissions); an authority made
here signs them. Its key lies in `private/`, which no robot needs.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree as xml

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
)

from xlvla.errors import XlvlaError
from xlvla.security import enclave_folder

DAYS = 3650
"""How long what is signed holds."""

_SKEW = datetime.timedelta(days=1)
"""How far the clock of a machine may be behind this one's."""

_SCHEMA = "http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{}.xsd"
_AUTHORITY = "xlvla"


class May(Protocol):
    """DDS topics that somebody may publish and subscribe."""

    @property
    def publish(self) -> frozenset[str]: ...
    @property
    def subscribe(self) -> frozenset[str]: ...


def write(keystore: Path, enclaves: Mapping[str, May], domain: int) -> None:
    """Writes these enclaves into a keystore, which is made where there is none.

    What was made before stays: the authority, and the keys of enclaves that are there; permissions
    are written and signed anew.
    """
    certificate, key = _authority(keystore)
    now = datetime.datetime.now(datetime.timezone.utc)
    _sign(keystore / "enclaves" / "governance", _governance(domain), certificate, key)
    for name, may in enclaves.items():
        folder = enclave_folder(keystore, name)
        _make(folder)
        up = Path(os.path.relpath(keystore, folder))
        for file in ("identity_ca.cert.pem", "permissions_ca.cert.pem"):
            _link(folder / file, up / "public" / file)
        _link(folder / "governance.p7s", up / "enclaves" / "governance.p7s")
        _identity(folder, name, certificate, key)
        _sign(folder / "permissions", permissions(name, may, domain, now), certificate, key)


def permissions(name: str, may: May, domain: int, now: datetime.datetime) -> xml.Element:
    """The document that lets one enclave publish and subscribe these topics on a domain, and no
    others.
    """
    document = _document("permissions")
    grant = _add(_add(document, "permissions"), "grant", name=name)
    _add(grant, "subject_name", f"CN={name}")
    validity = _add(grant, "validity")
    _add(validity, "not_before", _time(now - _SKEW))
    _add(validity, "not_after", _time(now + datetime.timedelta(days=DAYS)))
    rule = _add(grant, "allow_rule")
    _add(_add(rule, "domains"), "id", str(domain))
    for kind, topics in (("publish", may.publish), ("subscribe", may.subscribe)):
        listed = _add(_add(rule, kind), "topics")
        for topic in sorted(topics):
            _add(listed, "topic", topic)
    _add(grant, "default", "DENY")
    return document


def _governance(domain: int) -> xml.Element:
    """Nobody unknown joins, everything is encrypted, and every topic is only for whom permissions
    name.
    """
    document = _document("governance")
    rule = _add(_add(document, "domain_access_rules"), "domain_rule")
    _add(_add(rule, "domains"), "id", str(domain))
    _add(rule, "allow_unauthenticated_participants", "false")
    _add(rule, "enable_join_access_control", "true")
    for kind in ("discovery", "liveliness", "rtps"):
        _add(rule, f"{kind}_protection_kind", "ENCRYPT")
    topic = _add(_add(rule, "topic_access_rules"), "topic_rule")
    _add(topic, "topic_expression", "*")
    for kind in (
        "discovery_protection",
        "liveliness_protection",
        "read_access_control",
        "write_access_control",
    ):
        _add(topic, f"enable_{kind}", "true")
    for kind in ("metadata", "data"):
        _add(topic, f"{kind}_protection_kind", "ENCRYPT")
    return document


def _authority(keystore: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority of a keystore, made where there is none."""
    public = keystore / "public"
    private = keystore / "private"
    if (public / "ca.cert.pem").exists() and not (private / "ca.key.pem").exists():
        raise XlvlaError(
            f"{keystore} has no private/ca.key.pem, without which nothing can be signed: put it "
            "back, or choose another --out"
        )
    for folder in (public, private, keystore / "enclaves"):
        _make(folder)
    if not (private / "ca.key.pem").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(private / "ca.key.pem", key)
        _write(
            public / "ca.cert.pem",
            _certificate(_AUTHORITY, key, _AUTHORITY, key, authority=True).public_bytes(
                Encoding.PEM
            ),
        )
    for what in ("identity_ca", "permissions_ca"):
        _link(public / f"{what}.cert.pem", Path("ca.cert.pem"))
        _link(private / f"{what}.key.pem", Path("ca.key.pem"))
    key = load_pem_private_key((private / "ca.key.pem").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise XlvlaError(
            f"{private / 'ca.key.pem'} is no key of an elliptic curve: choose another --out"
        )
    return x509.load_pem_x509_certificate((public / "ca.cert.pem").read_bytes()), key


def _identity(
    folder: Path, name: str, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> None:
    if (folder / "cert.pem").exists() and (folder / "key.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    called = issuer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    _write_key(folder / "key.pem", key)
    _write(
        folder / "cert.pem",
        _certificate(name, key, str(called), issuer_key).public_bytes(Encoding.PEM),
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    subject, signer = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, word)]) for word in (name, issuer)
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
    )
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - _SKEW)
    made = made.not_valid_after(now + datetime.timedelta(days=DAYS))
    made = made.add_extension(
        x509.BasicConstraints(ca=authority, path_length=1 if authority else None),
        critical=authority,
    )
    return made.sign(issuer_key, hashes.SHA256())


def _sign(
    path: Path,
    document: xml.Element,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
) -> None:
    """Writes a document as `.xml`, and signed as `.p7s` in the form of S/MIME that the standard
    asks for.
    """
    xml.indent(document)
    text = xml.tostring(document, encoding="utf-8", xml_declaration=True)
    _write(path.with_suffix(".xml"), text)
    signer = (
        pkcs7.PKCS7SignatureBuilder().set_data(text).add_signer(certificate, key, hashes.SHA256())
    )
    signed = signer.sign(
        Encoding.SMIME, [pkcs7.PKCS7Options.Text, pkcs7.PKCS7Options.DetachedSignature]
    )
    _write(path.with_suffix(".p7s"), signed)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, data: bytes) -> None:
    """At once, and readable by its user alone."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)


def _make(folder: Path) -> None:
    """A folder and those above it that are not there, each for its user alone."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(mode=0o700)


def _link(path: Path, to: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def _document(kind: str) -> xml.Element:
    attributes = {
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsi:noNamespaceSchemaLocation": _SCHEMA.format(kind),
    }
    return xml.Element("dds", attributes)


def _add(parent: xml.Element, tag: str, text: str | None = None, **attributes: str) -> xml.Element:
    child = xml.SubElement(parent, tag, attributes)
    child.text = text
    return child


def _time(when: datetime.datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S")
