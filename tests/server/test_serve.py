"""All runs of a folder over real HTTP: what is listed, what is never served, and what --write may do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run
from imagelab.server import runs_list
from imagelab.server.app import listen
from imagelab.server.processes import Processes, holder, stop
from imagelab.server.runs_list import RunList
from imagelab.server.runs_pages import RunsSite, runs_routes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="who works on a run is read from /proc")
Serve = Callable[..., Any]

WORKS = """
import sys, time
from pathlib import Path
from imagelab.run_folder import RunFolder
import signal
import socket
signal.signal(signal.SIGTERM, lambda *rest: sys.exit(7))
with RunFolder(Path(sys.argv[1])).lock():
    print("at work", flush=True)
    time.sleep(60)
"""


class Recorded(Processes):
    """Takes down what would be started."""

    def __init__(self, logs: Path):
        super().__init__(logs)
        self.asked: list[list[str]] = []

    def start(self, words: Any) -> None:
        self.asked.append(list(words))


@pytest.fixture
def runs(a_run: Path) -> Path:
    """A folder with a finished run, a stopped one, a damaged one, links, a file and a folder that is no run."""
    root = a_run.parent
    stopped = root / "stopped"
    stopped.mkdir()
    for name in ("config.json", "provenance.json"):
        (stopped / name).write_bytes((a_run / name).read_bytes())
    (root / "damaged").mkdir()
    (root / "damaged" / "config.json").write_text("{")
    (root / "no-run").mkdir()
    (root / "file").write_text("x")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "config.json").write_bytes((a_run / "config.json").read_bytes())
    (root / "link").symlink_to(outside)
    (root / "hollow").mkdir()
    (root / "hollow" / "config.json").symlink_to(outside / "config.json")
    return root


def site(runs: Path, processes: Processes | None = None) -> RunsSite:
    built = runs.parent / "built"
    built.mkdir(exist_ok=True)
    return RunsSite(RunList(runs), built, processes, [("photocopy", "A question")] if processes else [])


def test_all_runs_are_listed_with_state_progress_and_stage(runs: Path, a_run: Path):
    found = {row.name: row for row in RunList(runs).rows()}
    assert set(found) == {a_run.name, "stopped", "damaged"}  # no links
    whole = found[a_run.name]
    assert (whole.state, whole.made, whole.planned) == ("finished", 2, 2)
    assert whole.settings == "replace, gaussian, seed 0" and whole.stage
    assert (found["stopped"].state, found["stopped"].made) == ("stopped", 0)
    assert found["damaged"].state == "damaged" and "config.json: not whole JSON" in found["damaged"].fault
    (alone,) = RunList(a_run).rows()
    assert alone.name == a_run.name  # the folder may be a run itself


def test_a_stage_is_judged_again_only_after_a_generation(a_run: Path, monkeypatch: pytest.MonkeyPatch):
    runs, judged, plain = RunList(a_run), [], runs_list.stages_of
    monkeypatch.setattr(runs_list, "stages_of", lambda *rest: (judged.append(1), plain(*rest))[1])
    for _ in range(3):
        runs.rows()
    assert len(judged) == 1
    os.utime(a_run / "seals.json")
    runs.rows()
    assert len(judged) == 2


def test_a_run_that_waits_for_people_says_so(a_run: Path):
    (a_run / "waiting" / "gen-003").mkdir(parents=True)
    config = json.loads((a_run / "config.json").read_text())
    del config["checksum"]
    config["experiment"]["generations"] = 3
    for path in a_run.rglob("manifest.json"):
        path.unlink()
    (a_run / "config.json").write_text(json.dumps(config))
    (row,) = RunList(a_run).rows()
    assert row.state == "waits for decisions"


def test_the_page_of_a_run_is_built_outside_of_it_and_shown_in_a_sandbox(runs: Path, a_run: Path, serve: Serve):
    files = {path for path in a_run.rglob("*")}
    client = serve(runs_routes(site(runs)))
    assert f'href="/run/{a_run.name}"' in client.get("/")[2].decode()
    status, headers, body = client.get(f"/run/{a_run.name}")
    policy = headers["content-security-policy"]
    assert status == 200 and b"<!doctype html" in body[:100].lower() and len(body) > 50_000
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy and "default-src 'none'" in policy
    assert {path for path in a_run.rglob("*")} == files and not check_run(a_run).problems
    built = [path.stat().st_mtime_ns for path in (runs.parent / "built").glob("*/index.html")]
    assert client.get(f"/run/{a_run.name}")[2] == body
    assert [path.stat().st_mtime_ns for path in (runs.parent / "built").glob("*/index.html")] == built
    status, _, body = client.get("/run/damaged")
    assert status == 409 and b"No page can be made" in body


@pytest.mark.parametrize(
    "path",
    [
        "/run/..",
        "/run/../outside",
        "/run/%2e%2e%2foutside",
        "/run/..%2foutside%2fconfig.json",
        "/run/link",
        "/run/hollow",
        "/run/no-run",
        "/run/RUN/config.json",
        "/run/RUN/gen-000/images.npy",
        "/run/%00",
        "/etc/passwd",
        "//etc/passwd",
        "/run//etc/passwd",
        "/compare?run=../outside&run=link",
        "/style.css%00.html",
    ],
)
def test_nothing_outside_of_the_pages_is_served(runs: Path, a_run: Path, serve: Serve, path: str):
    status, _, body = serve(runs_routes(site(runs))).get(path.replace("RUN", a_run.name))
    assert status == 404 and b"root:" not in body and b"signature" not in body


def test_runs_are_compared_by_ticking_them_or_it_is_said_why_not(runs: Path, a_run: Path, serve: Serve):
    client = serve(runs_routes(site(runs)))
    for query in ("", f"?run={a_run.name}", f"?run={a_run.name}&run={a_run.name}"):
        status, _, body = client.get(f"/compare{query}")
        assert status == 400 and b"Tick two to 6 different runs" in body
    status, _, body = client.get(f"/compare?run={a_run.name}&run=stopped")
    assert status == 409 and b"No page can be made" in body


@pytest.mark.parametrize("what", ["start", "stop", "resume"])
def test_without_write_nothing_can_be_changed(runs: Path, serve: Serve, what: str):
    client = serve(runs_routes(site(runs)))
    status, _, body = client.post(f"/{what}", {"name": "stopped"})
    assert status == 403 and b"--write" in body
    text = client.get("/")[2]
    assert b"<button>Start" not in text and b"/resume" not in text and client.get(f"/{what}")[0] == 405


def test_with_write_shipped_experiments_start_and_stopped_runs_resume(runs: Path, a_run: Path, serve: Serve):
    processes = Recorded(runs.parent)
    client = serve(runs_routes(site(runs, processes)))
    assert b'aria-label="Resume stopped"' in client.get("/")[2]
    assert client.post("/start", {"name": "photocopy", "seed": "3"})[0] == 303
    assert client.post("/resume", {"name": "stopped"})[0] == 303
    assert processes.asked == [
        ["run", "photocopy", "--runtime.runs", str(runs.resolve()), "--seed", "3"],
        ["resume", str((runs / "stopped").resolve())],
    ]
    refused = [
        ("/start", {"name": "/etc/passwd"}, 404),
        ("/start", {"name": "photocopy", "seed": "-1"}, 400),
        ("/start", {"name": "photocopy", "seed": "1 --plugins x"}, 400),
        ("/start", {}, 404),
        ("/resume", {"name": "../outside"}, 404),
        ("/resume", {"name": a_run.name}, 409),
        ("/resume", {"name": "damaged"}, 409),
        ("/stop", {"name": "stopped"}, 409),
    ]
    for path, fields, status in refused:
        assert client.post(path, fields)[0] == status, (path, fields)
    assert client.post("/resume", {"name": "stopped"}, Origin="http://evil.example")[0] == 403
    assert len(processes.asked) == 2


def test_a_run_with_code_of_its_own_is_not_resumed_by_the_server(runs: Path, serve: Serve):
    config = json.loads((runs / "stopped" / "config.json").read_text())
    del config["checksum"]
    config["own_code"] = [{"family": "metrics", "name": "mine", "digest": "0" * 64, "source": "/x/evil.py"}]
    (runs / "stopped" / "config.json").write_text(json.dumps(config))
    processes = Recorded(runs.parent)
    client = serve(runs_routes(site(runs, processes)))
    assert b"Resume stopped" not in client.get("/")[2]
    status, _, body = client.post("/resume", {"name": "stopped"})
    assert status == 403 and b"code of its own" in body and processes.asked == []


def test_the_process_that_writes_a_run_is_found_and_stopped_as_by_a_scheduler(runs: Path, a_run: Path, serve: Serve):
    lock = a_run / "run.lock"
    assert holder(a_run) is None
    worker = subprocess.Popen([sys.executable, "-c", WORKS, str(a_run)], stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None and worker.stdout.readline() == b"at work\n"
        assert holder(a_run) == worker.pid
        (partial := a_run / "gen-003.partial").mkdir()
        (partial / "train.jsonl").write_text('{"images_seen": 45, "images_total": 100}\n{"images_s')
        (row,) = RunList(a_run).rows()
        assert (row.state, row.now) == ("running", "generation 3, 45 % trained")
        client = serve(runs_routes(site(runs, Recorded(runs.parent))))
        assert b"Stop " in client.get("/rows")[2] and client.post("/resume", {"name": a_run.name})[0] == 409
        assert client.post("/stop", {"name": a_run.name})[0] == 303
        assert worker.wait(20) == 7
    finally:
        worker.kill()
        worker.wait()
    assert holder(a_run) is None and not stop(a_run)
    lock.write_text(f"{os.getpid()}\n{os.uname().nodename}\n")  # somebody else's id: this process has not opened it
    assert holder(a_run) is None and not stop(a_run)
    lock.unlink()
    lock.symlink_to("/etc/hostname")
    assert holder(a_run) is None


def test_a_started_command_runs_by_itself_and_its_output_is_kept(tmp_path: Path):
    processes = Processes(tmp_path)
    processes.start(["experiments", "show", "no-such-experiment"])
    (started,) = processes.started()
    for _ in range(300):
        if started.code is not None:
            break
        time.sleep(0.1)
        (started,) = processes.started()
    assert started.code and "no-such-experiment" in started.tail
    assert started.words == "imagelab experiments show no-such-experiment"


def test_names_of_runs_are_escaped(a_run: Path, serve: Serve):
    config = json.loads((a_run / "config.json").read_text())
    del config["checksum"]
    config["experiment"]["title"] = "<script>alert(1)</script>"
    evil = a_run.parent / "<img src=x onerror=alert(1)>"
    evil.mkdir()
    (evil / "config.json").write_text(json.dumps(config))
    text = serve(runs_routes(site(a_run.parent))).get("/")[2].decode()
    assert "<img src=x" not in text and "<script>alert" not in text and "&lt;img src=x" in text


@pytest.mark.browser
def test_the_list_is_live_in_several_tabs_and_keeps_ticks(browser: Any, runs: Path, a_run: Path, serve: Serve):
    import importlib

    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    client = serve(runs_routes(site(runs, Recorded(runs.parent))))
    context = browser.new_context(viewport={"width": 380, "height": 800}, color_scheme="dark")
    tabs = [context.new_page() for _ in range(2)]
    said: list[str] = []
    for tab in tabs:
        tab.set_default_timeout(20000)
        tab.on("console", lambda message: said.append(message.text))
        tab.add_init_script("const wait = setTimeout; window.setTimeout = (act, ms) => wait(act, Math.min(ms, 300));")
        tab.goto(f"http://127.0.0.1:{client.site.port}/?token=a-token-for-tests")
        assert axe.run(tab).violations_count == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= 380
    tabs[0].get_by_label("Compare stopped").check()
    worker = RunFolder(runs / "stopped").lock()
    with worker:
        for tab in tabs:
            tab.bring_to_front()
            tab.locator("tr[data-run=stopped] .state-running").wait_for()
            assert "stopped: running" in tab.locator("#said").text_content()
    assert tabs[0].get_by_label("Compare stopped").is_checked() and said == []
    context.close()


def test_a_signal_ends_the_server_in_order(finished_run: Path, tmp_path: Path):
    log = tmp_path / "log.txt"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "imagelab", "serve", str(finished_run.parent), "--no-browser"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    for _ in range(300):
        if b"open: http://127.0.0.1:" in log.read_bytes():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0 and b"Traceback" not in log.read_bytes() and b"show only" in log.read_bytes()


def test_a_port_in_use_and_a_missing_server_package_are_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port}: cannot be used .*Use another port, or 0"):
            listen(port, lambda site: [], lambda site: None)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ValueError, match=r"uvicorn is not installed.*pip install 'imagelab-collapse\[audit\]'"):
        listen(0, lambda site: [], lambda site: None)
