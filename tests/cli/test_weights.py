"""Download and import of weights, tested with a local server that can be set to fail in several ways."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cyclopts import CycloptsError

from imagelab.cli import download as module
from imagelab.cli.console import UsageError
from imagelab.cli.doctor import examine
from imagelab.cli.download import NotFetched, bring_in, fetch, target
from imagelab.cli.weights import weights_app
from imagelab.metrics.weights import VARIABLE, WEIGHTS, locate, state

CONTENT = bytes(range(256)) * 4000  # 1 MB: several chunks


@dataclass
class Server:
    """The settings of the server and the requests it received."""

    content: bytes = CONTENT
    ranges: bool = True
    cut_after: int | None = None  # bytes sent in one answer before the connection drops
    code: int = 200
    html: bool = False
    says_length: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        play: Server = self.server.play  # pyright: ignore[reportAttributeAccessIssue]
        wanted = self.headers.get("Range")
        play.asked.append((self.path, wanted))
        if play.code != 200:
            self.send_error(play.code)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and play.ranges else 0
        if begin > len(play.content):
            self.send_error(416)
            return
        body = play.content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(play.content) - 1}/{len(play.content)}")
        if play.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html; charset=utf-8" if play.html else "application/octet-stream")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # some tests close the connection on purpose
            self.wfile.write(body[: play.cut_after])

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server with a file for AlexNet, whose content is CONTENT during a test."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    play = Server()
    http.play = play  # pyright: ignore[reportAttributeAccessIssue]
    play.address = f"http://127.0.0.1:{http.server_address[1]}/models/"
    file = f"alexnet-owt-{digest[:8]}.pth"
    wanted = replace(WEIGHTS["alexnet"], files=(file,), sha256=digest, size=len(CONTENT), source=play.address + file)
    monkeypatch.setitem(WEIGHTS, "alexnet", wanted)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield play
    http.shutdown()
    thread.join()
    http.server_close()


def partial() -> Path:
    return target("alexnet").with_name(target("alexnet").name + ".partial")


def take(source: str = "") -> list[int]:
    return [received.bytes for received in fetch("alexnet", source, timeout=5)]


def command(*words: str | Path) -> int:
    return weights_app([str(word) for word in words], exit_on_error=False, print_error=False)


def left_behind() -> set[str]:
    """Return the endings of the files in the folder of weights, without the lock, which stays."""
    return {path.suffix for path in target("alexnet").parent.iterdir()} - {".lock"}


# -- by wire


def test_a_fetched_file_is_whole_and_found(server: Server) -> None:
    counts = take()
    assert counts == sorted(counts) and counts[-1] == len(CONTENT) and len(counts) > 2
    assert locate("alexnet").read_bytes() == CONTENT and left_behind() == {".pth"}


def test_what_is_here_already_is_not_fetched_again(server: Server) -> None:
    take()
    assert take() == [] and len(server.asked) == 1


def test_a_part_that_is_here_is_continued_not_fetched_again(server: Server) -> None:
    partial().parent.mkdir()
    partial().write_bytes(CONTENT[:300_000])
    assert take()[0] > 300_000
    assert server.asked[0][1] == "bytes=300000-" and locate("alexnet").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_is_read_from_the_start(server: Server) -> None:
    server.ranges = False
    partial().parent.mkdir()
    partial().write_bytes(b"x" * 300_000)
    take()
    assert server.asked[0][1] == "bytes=300000-" and locate("alexnet").read_bytes() == CONTENT


def test_a_connection_that_is_cut_is_taken_up_as_long_as_it_brings_something(server: Server) -> None:
    server.cut_after = 400_000
    take()
    assert [wanted for _, wanted in server.asked] == [None, "bytes=400000-", "bytes=800000-"]
    assert locate("alexnet").read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_more_is_given_up_and_the_part_kept(server: Server) -> None:
    server.cut_after = 0
    partial().parent.mkdir()
    partial().write_bytes(CONTENT[:300_000])
    with pytest.raises(NotFetched, match=r"was lost.*0\.3 of 1\.0 MB are kept; the same command continues"):
        take()
    assert partial().read_bytes() == CONTENT[:300_000] and state("alexnet").word == "missing"
    server.cut_after = None
    take()
    assert locate("alexnet").read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_cuts_does_not_hold_us_for_ever(server: Server) -> None:
    server.cut_after, server.ranges = 400_000, False
    with pytest.raises(NotFetched, match="was lost"):
        take()
    assert len(server.asked) == 2


def test_a_file_with_another_digest_is_removed_and_never_installed(server: Server) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(NotFetched, match=r"has SHA-256 .* removed, nothing is installed"):
        take()
    assert left_behind() == set() and state("alexnet").word == "missing"
    server.content = CONTENT
    take()
    assert state("alexnet").word == "present"


def test_a_spoiled_part_is_found_out_and_the_next_try_starts_anew(server: Server) -> None:
    partial().parent.mkdir()
    partial().write_bytes(b"x" * 300_000)
    with pytest.raises(NotFetched, match="has SHA-256"):
        take()
    take()
    assert server.asked[-1][1] is None and locate("alexnet").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_checked_without_asking_the_server(server: Server) -> None:
    partial().parent.mkdir()
    partial().write_bytes(CONTENT)
    assert take() == [] and server.asked == [] and locate("alexnet").read_bytes() == CONTENT


def test_a_login_page_is_no_file(server: Server) -> None:
    server.html, server.content = True, b"<html>Please log in</html>"
    with pytest.raises(NotFetched, match="a web page, not a file"):
        take()
    assert left_behind() == set()


@pytest.mark.parametrize("length", [len(CONTENT) - 5, len(CONTENT) + 5])
def test_a_file_of_another_length_is_refused_before_it_is_read(server: Server, length: int) -> None:
    server.content = (CONTENT * 2)[:length]
    with pytest.raises(NotFetched, match=f"offers {length:,} bytes, the official file has {len(CONTENT):,}"):
        take()
    assert left_behind() == set()


def test_a_server_that_hides_the_length_and_never_ends_is_stopped(server: Server) -> None:
    server.says_length, server.content = False, CONTENT * 3
    with pytest.raises(NotFetched, match="sends more than"):
        take()
    assert left_behind() == set()


@pytest.mark.parametrize(
    ("code", "says"), [(404, "not at this address"), (403, "refuses"), (401, "login"), (503, "failed")]
)
def test_an_error_of_the_server_is_told_with_its_number(server: Server, code: int, says: str) -> None:
    server.code = code
    with pytest.raises(NotFetched, match=rf"answers {code} .*{says}.*--source"):
        take()
    assert state("alexnet").word == "missing"


def test_without_a_network_the_way_around_is_named(server: Server) -> None:
    with pytest.raises(NotFetched, match=r"no connection to 127\.0\.0\.1 .*weights import PATH"):
        take("http://127.0.0.1:9/file.pth")


def test_another_source_is_an_address_or_a_folder(server: Server) -> None:
    take(server.address + "mirror.pth")
    locate("alexnet").unlink()
    take(server.address)
    assert [path for path, _ in server.asked] == ["/models/mirror.pth", f"/models/{WEIGHTS['alexnet'].files[0]}"]
    target("alexnet").unlink()
    with pytest.raises(ValueError, match=r"expected an http or https address, got 'file:///etc"):
        take("file:///etc/hostname")


def test_a_second_process_is_told_of_the_first(server: Server) -> None:
    first = fetch("alexnet")
    next(first)
    with pytest.raises(ValueError, match=rf"another process \(pid {os.getpid()}\) is writing this file"):
        take()
    list(first)
    assert locate("alexnet").read_bytes() == CONTENT


def test_all_processes_lock_one_and_the_same_file(server: Server) -> None:
    """A lock file that was removed would let a process that opened it before hold it beside a third one."""
    take()
    (lock,) = target("alexnet").parent.glob("*.lock")
    with lock.open() as opened:
        target("alexnet").unlink()
        take()
        assert os.path.samestat(os.fstat(opened.fileno()), lock.stat())


def test_a_disk_that_is_too_full_is_asked_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=50_300_000))
    with pytest.raises(NotFetched, match=r"1 MB are still to be written and the disk has 50 MB free"):
        take()
    assert server.asked == []


def test_a_disk_that_fills_up_on_the_way_keeps_what_was_written(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        take()
    assert error.value.errno == 28 and partial().exists() and state("alexnet").word == "missing"


def test_interrupting_keeps_the_part_and_leaves_no_file(server: Server, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "Received", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert command("fetch", "alexnet") == 130
    assert "the partial file is kept" in capsys.readouterr().err
    assert 0 < partial().stat().st_size < len(CONTENT) and state("alexnet").word == "missing"


# -- in the hand


def test_interrupting_an_import_leaves_nothing_half_copied(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "download").write_bytes(CONTENT)
    monkeypatch.setattr(module.os, "fsync", interrupt)
    assert command("import", tmp_path / "download") == 130
    assert "incomplete ones are removed" in capsys.readouterr().err and left_behind() == set()


def outcomes(*places: Path) -> dict[str, str]:
    return {each.name: each.outcome for each in bring_in(places) if each.outcome != "not found"}


def test_a_file_is_known_by_its_name_deep_in_a_folder(server: Server, tmp_path: Path) -> None:
    stick = tmp_path / "stick" / "old" / "stuff"
    stick.mkdir(parents=True)
    (stick / WEIGHTS["alexnet"].files[0]).write_bytes(CONTENT)
    (stick / "holiday.jpg").write_bytes(b"not weights")
    assert outcomes(tmp_path / "stick") == {"alexnet": "copied"}
    assert locate("alexnet") == target("alexnet") and locate("alexnet").read_bytes() == CONTENT
    assert outcomes(tmp_path / "stick") == {"alexnet": "already here"}


def test_a_renamed_file_is_known_by_its_size_and_digest(server: Server, tmp_path: Path) -> None:
    (tmp_path / "decoy.bin").write_bytes(CONTENT[::-1])
    (tmp_path / "download(1)").write_bytes(CONTENT)
    (found,) = [each for each in bring_in([tmp_path]) if each.outcome != "not found"]
    assert (found.outcome, found.note) == ("copied", "found as download(1)")
    assert locate("alexnet").read_bytes() == CONTENT and left_behind() == {".pth"}


@pytest.mark.parametrize(("content", "note"), [(CONTENT[:-9], "bytes, not"), (CONTENT[::-1], "another SHA-256")])
def test_a_damaged_file_is_named_and_not_copied(server: Server, tmp_path: Path, content: bytes, note: str) -> None:
    file = tmp_path / WEIGHTS["alexnet"].files[0]
    file.write_bytes(content)
    (found,) = [each for each in bring_in([file]) if each.outcome != "not found"]
    assert found.outcome == "damaged" and found.path == file and note in found.note
    assert not target("alexnet").exists()


def test_a_sound_copy_is_found_behind_a_damaged_one_and_mends_what_is_here(server: Server, tmp_path: Path) -> None:
    target("alexnet").parent.mkdir()
    target("alexnet").write_bytes(b"broken")
    partial().write_bytes(CONTENT[:10])
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / WEIGHTS["alexnet"].files[0]).write_bytes(b"cut off")
    (tmp_path / "stick" / "whole").write_bytes(CONTENT)
    assert outcomes(tmp_path / "stick") == {"alexnet": "copied"}
    assert locate("alexnet").read_bytes() == CONTENT and left_behind() == {".pth"}


# -- the door


def test_the_door_fetches_and_says_where(server: Server, capsys: Any) -> None:
    assert command("fetch", "alexnet", "--source", server.address) == 0
    assert "alexnet: fetched and checked" in capsys.readouterr().out
    assert command("fetch", "alexnet") == 0
    assert "already here" in capsys.readouterr().out and len(server.asked) == 1


def test_a_damaged_file_is_replaced_and_that_is_said(server: Server, capsys: Any) -> None:
    target("alexnet").parent.mkdir()
    target("alexnet").write_bytes(b"broken")
    assert command("fetch", "alexnet") == 0
    assert "it will be replaced" in capsys.readouterr().out and state("alexnet").word == "present"


def test_list_and_doctor_say_the_same(server: Server, capsys: Any) -> None:
    take()
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "alexnet: present, 1 MB, for LPIPS (alex)" in lines
    assert "vgg16: missing, 553 MB, for LPIPS (vgg)" in lines
    assert lines == [line.removeprefix("  ") for line in examine()[-len(lines) :]]


def test_the_door_imports_and_says_what_was_not_there(server: Server, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "download").write_bytes(CONTENT)
    assert command("import", tmp_path / "download") == 0
    text = capsys.readouterr().out
    assert "alexnet: copied" in text and "(found as download)" in text and "vgg16: not found" in text
    (tmp_path / "nothing").mkdir()
    assert command("import", tmp_path / "nothing") == 1
    assert "none of these files was found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fetch"], "expected names from inception-2015-12-05"),
        (["fetch", "resnet"], "or all, got resnet"),
        (["fetch", "alexnet", "vgg16", "--source", "http://x/y"], "ending in /"),
        (["import"], "memory stick"),
    ],
)
def test_a_wrong_command_is_a_usage_error(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        command(*words)


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone does not exist"):
        command("import", tmp_path / "gone")
    with pytest.raises(CycloptsError):
        command("fetch", "alexnet", "--sauce", "x")


def test_no_floor_below_the_doors_can_start_a_download() -> None:
    package = Path(module.__file__).parents[1]
    sources = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    users = [name for name, text in sources.items() if "urllib.request" in text]
    assert users == ["cli/download.py"]
