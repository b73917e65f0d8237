from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from imagelab.provenance.keys import key_folder, new_key, own_key

from .conftest import exit_code

x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed: the extra sign")


def test_a_new_key_is_readable_by_its_owner_alone_and_shows_its_fingerprint(capsys: pytest.CaptureFixture[str]):
    assert exit_code("key", "new", "--name", "Lab of N.") == 0
    folder = key_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == dict.fromkeys(
        ("key.pem", "chain.pem", "root.pem"), 0o600
    )
    key = own_key()
    assert key is not None and key.name == "Lab of N."
    text = capsys.readouterr().out
    assert key.fingerprint in text.replace(" ", "") and "does not prove who holds the key" in text
    assert exit_code("key", "show") == 0 and key.fingerprint in capsys.readouterr().out.replace(" ", "")


def test_the_chain_is_a_p256_leaf_for_signing_under_a_root_that_cannot_sign_for_others():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, _ = new_key("Lab")
    leaf, root = x509.load_pem_x509_certificates(key.chain.encode())
    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    public = leaf.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp256r1"
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(der).hexdigest() == key.fingerprint
    private = serialization.load_pem_private_key(key.private(), None)
    assert private.public_key() == public
    uses = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert uses.digital_signature and not uses.key_cert_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_key_is_never_replaced_without_force_and_the_old_one_is_kept():
    first, _ = new_key("First")
    with pytest.raises(ValueError, match="there is a key already; nothing was written"):
        new_key("Second")
    assert own_key() == first
    second, kept = new_key("Second", force=True)
    assert own_key() == second != first
    assert kept is not None and (kept / "root.pem").read_text() == first.root


def test_a_key_that_others_can_read_is_not_used():
    key, _ = new_key("Lab")
    (key.folder / "key.pem").chmod(0o644)
    with pytest.raises(ValueError, match="can be read by others"):
        key.private()


@pytest.mark.parametrize("name", ["two\nlines", "x" * 65, "\x1b[31m"])
def test_a_name_that_no_certificate_can_hold_is_refused(name: str):
    with pytest.raises(ValueError, match="at most 64 printable letters"):
        new_key(name)
    assert not key_folder().exists()


def test_where_there_is_no_key_it_is_said_how_to_make_one(capsys: pytest.CaptureFixture[str]):
    assert exit_code("key", "show") == 1
    assert "imagelab key new" in capsys.readouterr().err


def test_a_damaged_key_is_named(tmp_path: Path):
    key, _ = new_key("Lab")
    (key.folder / "chain.pem").write_text("nothing")
    with pytest.raises(ValueError, match="not a whole signing key"):
        own_key()
