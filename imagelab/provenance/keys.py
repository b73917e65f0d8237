"""The user's own signing key: made here, kept in the user's configuration folder, never in a run.

``$XDG_CONFIG_HOME/imagelab/signing`` (else ``~/.config/imagelab/signing``) holds, readable by its owner alone:

    key.pem     the private key of the signing certificate, EC P-256
    chain.pem   the signing certificate and the root certificate that vouches for it
    root.pem    the root certificate; whoever is to recognise the signatures gets this file

The private key of the root is used once and thrown away, so that nobody can make a second signing certificate under the
same root. A self-made key proves that two files were signed by the same key, and that neither was changed since. It
proves nothing about who holds the key: no authority has looked at the name in it.

Needs cryptography, the extra ``sign``.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io.atomic import folder_made_whole
from ..io.configuration import configuration_folder
from ..io.disk import storing
from ..io.untrusted import quoted, regular, shown
from .signatures import HOW_TO_INSTALL

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["WHAT_IT_PROVES", "SigningKey", "key_folder", "new_key", "own_key"]

WHAT_IT_PROVES = (
    "It proves that files were signed by this key and were not changed since. It does not prove who holds the key: "
    "it is self-made, and anybody can make one under any name.",
    "Others recognise it only if you give them root.pem by a way they trust, and they name it: imagelab inspect "
    "--trust root.pem. Whoever gets key.pem can sign in your name.",
)
"""What the user has to know about a self-made key, in sentences."""

YEARS = 10
LONGEST_NAME = 64  # letters that a certificate allows for the name of an organisation

_FILES = ("key.pem", "chain.pem", "root.pem")


@dataclass(frozen=True)
class SigningKey:
    """A signing key on disk.

    Attributes:
        folder: where its three files lie.
        name: the name in its certificate.
        fingerprint: SHA-256 of its public key (DER), 64 hex digits.
        until: the last day of its certificate, ISO 8601.
        root: the root certificate, PEM.
        chain: the signing certificate and the root certificate, PEM.
    """

    folder: Path
    name: str
    fingerprint: str
    until: str
    root: str
    chain: str

    def private(self) -> bytes:
        """Return the private key, PEM.

        Raises:
            ValueError: if others may read its file.
        """
        path = self.folder / "key.pem"
        if regular(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"{shown(path)}: can be read by others; expected a file of yours alone: chmod 600 it")
        return path.read_bytes()


def key_folder() -> Path:
    """Return the folder of the user's signing key."""
    return configuration_folder() / "signing"


def own_key() -> SigningKey | None:
    """Return the user's signing key; None if there is none.

    Raises:
        ValueError: if it is there and cannot be used, or cryptography is not installed.
    """
    folder = key_folder()
    if not os.path.lexists(folder):
        return None
    _require()
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        regular(folder / "key.pem")
        root, chain = ((folder / name).read_text(encoding="ascii") for name in ("root.pem", "chain.pem"))
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        names = leaf.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(f"{shown(folder)}: not a whole signing key ({quoted(error)}). Make another one.") from error
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    fingerprint = hashlib.sha256(leaf.public_key().public_bytes(*form)).hexdigest()
    name = quoted(names[0].value, LONGEST_NAME) if names else ""
    return SigningKey(folder, name, fingerprint, leaf.not_valid_after_utc.date().isoformat(), root, chain)


def new_key(name: str = "", force: bool = False) -> tuple[SigningKey, Path | None]:
    """Make the user's signing key.

    Args:
        name: stands in its certificate, at most 64 letters; "imagelab user" if not given.
        force: whether a new key takes the place of one that is there; the old one is kept beside it.

    Returns:
        The key, and where the old one is kept now.

    Raises:
        ValueError: if there is a key and ``force`` is not set, or for a name that a certificate cannot hold.
    """
    name = name or "imagelab user"
    if not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"--name: expected at most {LONGEST_NAME} printable letters, got {quoted(name, 80)!r}")
    _require()
    folder, kept = key_folder(), None
    if os.path.lexists(folder) and not force:
        raise ValueError(
            f"{shown(folder)}: there is a key already; nothing was written. `imagelab key show` shows it; --force "
            "makes a new one and keeps the old one beside it."
        )
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = _made(name)
    if os.path.lexists(folder):
        number = next(i for i in range(1, 10_000) if not os.path.lexists(folder.with_name(f"signing-old-{i}")))
        kept = folder.with_name(f"signing-old-{number}")
        folder.rename(kept)
    with storing(folder), folder_made_whole(folder) as partial:
        partial.chmod(0o700)
        for file in _FILES:
            handle = os.open(partial / file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content[file])
    key = own_key()
    if key is None:
        raise ValueError(f"{shown(folder)}: the key was removed while it was made")
    return key, kept


def _require() -> None:
    if importlib.util.find_spec("cryptography") is None:
        raise ValueError(f"keys need the package cryptography: {HOW_TO_INSTALL}")


def _made(name: str) -> dict[str, bytes]:
    """Return the content of the three files of a new key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    above, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root, leaf = _certificate(name, above, above, True), _certificate(name, key, above, False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificates = {"chain.pem": leaf.public_bytes(pem) + root.public_bytes(pem), "root.pem": root.public_bytes(pem)}
    return {"key.pem": private, **certificates}


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, above: ec.EllipticCurvePrivateKey, is_root: bool
) -> x509.Certificate:
    """Return the certificate of a key, signed by the key above it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    def named(of: ec.EllipticCurvePrivateKey, kind: str) -> x509.Name:
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        mark = hashlib.sha256(of.public_key().public_bytes(*form)).hexdigest()[:16]
        parts = [(x509.NameOID.ORGANIZATION_NAME, name), (x509.NameOID.COMMON_NAME, f"imagelab {kind} {mark}")]
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts])

    uses: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    uses |= {"key_cert_sign": is_root, "crl_sign": is_root, "encipher_only": False, "decipher_only": False}
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(key, "root" if is_root else "key"))
        .issuer_name(named(above, "root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(is_root, 0 if is_root else None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not is_root, **uses), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not is_root:
        email = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])  # what C2PA asks of a signer
        builder = builder.add_extension(email, critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False
        )
    return builder.sign(above, hashes.SHA256())
