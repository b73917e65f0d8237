"""A file that names an address on the network is looked at without a call to it, by Python or by the C2PA library."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from imagelab.provenance.keys import new_key
from imagelab.provenance.signatures import can_verify, settings_of

from .conftest import exit_code

pytestmark = pytest.mark.skipif(not can_verify(), reason="c2pa-python is not installed: the extra sign")


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            return

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/manifest.c2pa", asked
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def hostile(picture: Callable[..., Path], server: tuple[str, list[str]]) -> Path:
    """A PNG file whose manifest lies at the address of the server."""
    from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Context, Signer

    key, _ = new_key("Stranger")
    action = {
        "action": "c2pa.created",
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
    }
    manifest = {
        "title": "x",
        "format": "image/png",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    path, target = picture(), io.BytesIO()
    with Context.from_dict(settings_of()) as context:
        info = C2paSignerInfo(C2paSigningAlg.ES256, key.chain.encode(), key.private(), None)
        with Signer.from_info(info) as signer, Builder(manifest, context) as builder:
            builder.set_no_embed()
            builder.set_remote_url(server[0])
            builder.sign(signer, "image/png", io.BytesIO(path.read_bytes()), target)
    path.write_bytes(target.getvalue())
    assert server[0].encode() in path.read_bytes()
    return path


def test_the_library_would_call_the_address_if_it_were_allowed_to(hostile: Path, server: tuple[str, list[str]]):
    from c2pa import C2paError, Context, Reader

    settings = settings_of()
    settings["verify"]["remote_manifest_fetch"] = True
    with Context.from_dict(settings) as context, pytest.raises(C2paError):
        Reader("image/png", io.BytesIO(hostile.read_bytes()), context=context)
    assert server[1] == ["/manifest.c2pa"]


def test_inspect_does_not_call_the_address_that_a_file_names(hostile: Path, server: tuple[str, list[str]], run, capsys):
    assert exit_code("inspect", hostile, "--runs", run.path) == 0
    assert server[1] == []
    assert "is not looked up" in capsys.readouterr().out
