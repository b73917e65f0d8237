"""Signatures of generations: one detached signature for all pictures of a generation, its model and its measurements.

``imagelab sign RUN`` writes for every shard two files into the folder ``signatures`` of the run:

    gen-003.json        the SHA-256 of every picture's pixels in the order of its rows, of config.json, metrics.jsonl,
                        pool.npz and the model's files, the digest of the shard's manifest, which lists all its files,
                        the digests of what it was made from, and the root of a Merkle tree of pictures and files
    gen-003.json.c2pa   its signature, whose statement holds the root, too

So one signature covers any number of pictures. The SHA-256 of a picture is the one that ``imagelab export`` writes as
``sha256``: whoever has the list and its signature can compare a picture with it without the run.

References:
    RFC 6962, section 2.1 (Laurie et al. 2013): the Merkle tree with separate prefixes of leaves and nodes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..io.atomic import write_atomic
from ..io.manifest import file_digest, is_folder, read_object
from ..io.run_records import CONFIG
from ..io.untrusted import shown
from ..run_folder import RunFolder
from .fingerprints import pixel_digests
from .keys import SigningKey
from .signatures import can_verify, side_file, verify
from .signing import required_key, sign_detached

__all__ = ["FOLDER", "SignedShard", "check_signed", "merkle_root", "sign_run", "signed_row", "signed_shards"]

FOLDER = "signatures"
"""Folder of a run that holds its signatures."""

KIND = "imagelab generation"


@dataclass(frozen=True)
class SignedShard:
    """The signature of a generation, and what differs from it.

    Attributes:
        name: of the shard's folder.
        state: of the signature of the list: "trusted", "valid" (by a key that is not known), "invalid", or "missing".
        signer: the name in the certificate.
        problems: what of the run is not what was signed.
    """

    name: str
    state: Literal["trusted", "valid", "invalid", "missing"]
    signer: str
    problems: tuple[str, ...] = ()


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return the root of the Merkle tree over these leaves, 64 hex digits, as RFC 6962 has it.

    Example:
        >>> merkle_root([])[:8], merkle_root([b""])[:8]
        ('e3b0c442', '6e340b9c')
    """
    if not leaves:
        return hashlib.sha256().hexdigest()
    return _root([hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]).hex()


def _root(nodes: list[bytes]) -> bytes:
    while len(nodes) > 1:
        pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
        nodes = [hashlib.sha256(b"\1" + pair[0] + pair[1]).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return nodes[0]


def sign_run(path: Path, generation: int | None = None) -> list[Path]:
    """Sign the finished generations of a run with the user's key.

    Args:
        path: the run folder.
        generation: which one; all if not given.

    Returns:
        The files with the signatures.

    Raises:
        ValueError: if the run is not whole, has no such generation, or there is no key.
    """
    key, run = required_key(), RunFolder.open(path)
    shards = [shard for shard in run.shards() if generation in (None, shard[0])]
    if not shards:
        raise ValueError(f"{shown(path)}: has no finished generation{'' if generation is None else f' {generation}'}")
    home = run.path / FOLDER
    if home.is_symlink():
        raise ValueError(f"{shown(home)}: is a link; expected a folder. A run folder holds no links.")
    home.mkdir(exist_ok=True)
    return [_sign_shard(run, *shard, key) for shard in shards]


def _sign_shard(run: RunFolder, generation: int, line: int, key: SigningKey) -> Path:
    content = _content(run, generation, line)
    path = run.path / FOLDER / f"{run.shard_path(generation, line).name}.json"
    write_atomic(path, json.dumps(content, indent=0, ensure_ascii=False) + "\n")
    record = {name: content[name] for name in ("run", "signature", "generation", "line", "merkle_root", "trained_on")}
    return sign_detached(path, {k: v for k, v in record.items() if v != ""}, key)


def _content(run: RunFolder, generation: int, line: int) -> dict[str, Any]:
    """Return what is signed of a shard."""
    manifest = run.manifest(generation, line)
    names = [name for name in run.files(generation, line) if name.startswith("model/")]
    names += [name for name in ("metrics.jsonl", "pool.npz") if run.has_file(generation, line, name)]
    files = {name: file_digest(run.file(generation, line, name)) for name in names}
    files |= {name: sha256 for name, (_, sha256) in (manifest.removed if manifest else {}).items()}
    files = dict(sorted(files.items()))
    files[f"../{CONFIG}"] = file_digest(run.path / CONFIG)
    rows = [row.tobytes() for row in pixel_digests(run.images(generation, line))]
    leaves = [*rows, *(f"{name}\0{digest}".encode() for name, digest in files.items())]
    return {
        "kind": KIND,
        "run": run.path.name,
        "signature": run.config["signature"],
        "generation": generation,
        "line": line,
        "trained_on": run.pool(generation, line).digest() if generation else "",
        "manifest": manifest.digest if manifest else "",
        "made_from": dict(manifest.made_from) if manifest else {},
        "merkle_root": merkle_root(leaves),
        "files": files,
        "rows": [row.hex() for row in rows],
    }


def signed_shards(run: RunFolder) -> list[tuple[int, int]]:
    """Return the finished shards, (generation, line), that have a signed list."""
    home = run.path / FOLDER
    if not is_folder(home):
        return []
    return [shard for shard in run.shards() if (home / f"{run.shard_path(*shard).name}.json").is_file()]


def check_signed(
    run: RunFolder, generation: int, line: int, anchors: Sequence[str], read_data: bool = True
) -> SignedShard:
    """Verify the signature of a shard's list, and compare the shard with the list.

    Args:
        run: the run.
        generation: of the shard.
        line: of the shard.
        anchors: certificates, PEM, of the keys that are trusted.
        read_data: whether pictures and files are read and compared; else the signature of the list alone.

    Raises:
        ValueError: if c2pa-python is not installed.
    """
    name = run.shard_path(generation, line).name
    path = run.path / FOLDER / f"{name}.json"
    signature = verify(path, anchors) if side_file(path).is_file() else None
    if signature is None:
        return SignedShard(name, "missing", "", (f"{FOLDER}/{name}.json has no signature",))
    if signature.state in ("invalid", "elsewhere"):
        return SignedShard(name, "invalid", signature.signer, (f"{FOLDER}/{name}.json: {signature.reason}",))
    problems: list[str] = []
    try:
        listed = read_object(path)
        if (listed.get("kind"), listed.get("generation"), listed.get("line")) != (KIND, generation, line):
            problems.append(f"{FOLDER}/{name}.json is the list of another generation")
        elif read_data:
            problems += _differences(name, listed, _content(run, generation, line))
    except (ValueError, OSError) as error:
        problems.append(f"{name}: cannot be compared with what was signed: {error}")
    state = "trusted" if signature.state == "trusted" else "valid"
    return SignedShard(name, state, signature.signer, tuple(problems))


def signed_row(run: RunFolder, generation: int, line: int, row: int, anchors: Sequence[str]) -> str:
    """Return a sentence that says whether the signed list of a shard holds a picture; "" where there is no list.

    Args:
        run: the run.
        generation: of the shard.
        line: of the shard.
        row: of the picture in images.npy, whose pixels are compared with the list.
        anchors: certificates, PEM, of the keys that are trusted.
    """
    if (generation, line) not in signed_shards(run) or not can_verify():
        return ""
    shard = check_signed(run, generation, line, anchors, read_data=False)
    if shard.problems:
        return f"The signature of its generation is not valid: {shard.problems[0]}."
    rows = read_object(run.path / FOLDER / f"{shard.name}.json").get("rows")
    digest = pixel_digests(run.images(generation, line)[row : row + 1])[0].tobytes().hex()
    key = "a key that you trust" if shard.state == "trusted" else "a key that you do not know"
    if not isinstance(rows, list) or row >= len(rows) or rows[row] != digest:
        return f"The list of its generation, signed by {key} ({shard.signer}), does not hold it."
    return f"The list of its generation, signed by {key} ({shard.signer}), holds it."


def _differences(name: str, signed: dict[str, Any], present: dict[str, Any]) -> list[str]:
    found = []
    then, now = signed.get("rows"), present["rows"]
    if not isinstance(then, list) or len(then) != len(now):
        found.append(f"{name}: holds another number of pictures than was signed")
    elif changed := [row for row, (a, b) in enumerate(zip(then, now, strict=True)) if a != b]:
        found.append(
            f"{name}/images.npy: {len(changed)} pictures are not those that were signed; the first: {changed[0]}"
        )
    listed = signed.get("files")
    files: dict[str, Any] = listed if isinstance(listed, dict) else {}
    for file in sorted({*files, *present["files"]}):
        if files.get(file) != present["files"].get(file):
            found.append(f"{name}/{file}: is not the file that was signed".replace(f"{name}/../", ""))
    for key in ("signature", "trained_on", "made_from", "merkle_root", "manifest"):
        if not found and signed.get(key) != present[key]:
            words = "its files are not those that were signed" if key == "manifest" else f"{key} is not what was signed"
            found.append(f"{name}: {words}")
    return found
