"""``imagelab key``: the user's own signing key."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from ..io.untrusted import shown
from ..provenance.keys import WHAT_IT_PROVES, SigningKey, key_folder, new_key, own_key
from .console import out

__all__ = ["key_app"]

key_app = App(name="key", help="Make and show the key with which you sign pictures and runs.")


@key_app.command(name="new")
def new_command(*, name: str = "", force: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Make a signing key, readable by you alone, in your configuration folder.

    Parameters
    ----------
    name
        Stands in the certificate, for everybody to read.
    force
        Make a new key where there is one; the old one is kept beside it.
    """
    key, kept = new_key(name, force)
    if kept is not None:
        out.print(f"the old key: {shown(kept)}", markup=False)
    _print(key)
    return 0


@key_app.command(name="show")
def show_command() -> int:
    """Show the signing key, and what it proves."""
    key = own_key()
    if key is None:
        raise ValueError(f"{shown(key_folder())}: there is no signing key yet: imagelab key new")
    _print(key)
    return 0


def _print(key: SigningKey) -> None:
    pairs = " ".join(key.fingerprint[i : i + 4] for i in range(0, 64, 4))
    for line in (
        f"key: {shown(key.folder)}",
        f"name: {key.name}",
        f"fingerprint (SHA-256 of the public key): {pairs}",
        f"valid until {key.until}",
        *WHAT_IT_PROVES,
    ):
        out.print(line, markup=False, soft_wrap=True)
