"""A kill before any file-system call, or a power cut, leaves a run that the next command reads as whole or heals.

:func:`calls` runs some work in a forked child and counts the calls that change files below a folder;
:func:`killed` runs it again and ends the child before one of them. :class:`Disk` keeps a second copy of the folder
that holds only what was synced (fsync of a file: its content; fsync of a folder: its names). That copy is what a power
cut leaves in the worst case. A kill loses nothing that was written, so the children do not wait for a real fsync.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import imagelab.report.page
from imagelab import Experiment, Gaussian, Mix, Runtime, Textures, run
from imagelab.export.generation import export_generation
from imagelab.io.manifest import MANIFEST, Manifest
from imagelab.report import write_report
from imagelab.run_folder import RunFolder
from imagelab.runs.branch import branch, branched

assert imagelab.report.page  # loaded before the forks, once for all of them


WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.copyfile")
KILLED = 137


def _in_child(work: Callable[[], object]) -> int:
    """Run the work in a forked child and return its exit code: 0, 1 for an exception, or what it exits with."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _watch(root: Path, before: Callable[[str], None]) -> None:
    """Call ``before(name)`` ahead of every call of this process that changes or syncs a file below ``root``."""
    home = str(root)

    def below(argument: Any) -> bool:
        return isinstance(argument, str | bytes | os.PathLike) and os.fsdecode(argument).startswith(home)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if (writes or event in CHANGES) and any(below(argument) for argument in arguments[:2]):
            before(event)

    def fsync(handle: int) -> None:
        if below(Path(f"/proc/self/fd/{handle}").readlink()):
            before("os.fsync")

    sys.addaudithook(hook)
    os.fsync = fsync


def calls(root: Path, work: Callable[[], object]) -> list[str]:
    """Return the names of the calls that the work makes below ``root``, in order. The work's own child does them."""
    receive, send = os.pipe()

    def watched() -> None:
        def note(name: str) -> None:
            os.write(send, f"{name}\n".encode())

        _watch(root, note)
        work()

    code = _in_child(watched)
    os.close(send)
    with os.fdopen(receive) as pipe:
        names = pipe.read().split()
    assert code == 0, f"the work itself failed, exit code {code}"
    return names


def killed(root: Path, work: Callable[[], object], number: int) -> None:
    """Run the work in a child that ends, as by kill -9, before its call of this number (from 0 on)."""
    left = [number]

    def before(name: str) -> None:
        if left[0] == 0:
            os._exit(KILLED)
        left[0] -= 1

    def watched() -> None:
        _watch(root, before)
        work()

    code = _in_child(watched)
    assert code == KILLED, f"the work was to be killed before call {number}, and ended with exit code {code}"


class Disk:
    """What of a folder has reached the disk: names of synced folders, and contents of synced files.

    Use in the child: ``disk.watch(root)``, then the work. ``disk.lost(root, copy)`` in any process writes what a power
    cut would leave to ``copy``.
    """

    def __init__(self, store: Path):
        self.store = store
        store.mkdir()

    def watch(self, root: Path) -> None:
        """Record every fsync of this process below ``root``, once it was done."""
        home, sync = str(root), os.fsync

        def fsync(handle: int) -> None:
            sync(handle)
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if str(path).startswith(home):
                self._record(path)

        os.fsync = fsync

    def _record(self, path: Path) -> None:
        """Store a file's content, or a folder's names with the inode of each, under its own inode."""
        at = self.store / str(path.stat().st_ino)
        if path.is_dir():
            names = [f"{'d' if c.is_dir() else 'f'} {c.lstat().st_ino} {c.name}" for c in sorted(path.iterdir())]
            at.write_text("\n".join(names))
        else:
            shutil.copyfile(path, at)

    def lost(self, root: Path, copy: Path) -> None:
        """Write to ``copy`` what a power cut leaves of ``root``; a file that was never synced is empty."""
        self._restore(root.stat().st_ino, copy)

    def _restore(self, inode: int, folder: Path) -> None:
        folder.mkdir()
        names = self.store / str(inode)
        for line in names.read_text().splitlines() if names.exists() else []:
            kind, number, name = line.split(" ", 2)
            if kind == "d":
                self._restore(int(number), folder / name)
            else:
                stored = self.store / number
                (folder / name).write_bytes(stored.read_bytes() if stored.exists() else b"")


def tiny(runs: Path, **changes: object) -> Experiment:
    settings: dict[str, object] = {
        "name": "tiny",
        "data": Textures(size=8),
        "generator": Gaussian(components=2),
        "generations": 2,
        "images": 12,
        "heldout": 12,
        "tracked": 1,
        "metrics": ("pixel_variance",),
        "runtime": Runtime(runs=runs, device="cpu", threads=1),
        **changes,
    }
    return Experiment(**settings)  # pyright: ignore[reportArgumentType]


def contents(folder: Path) -> dict[str, str]:
    """Every file of a run but its lock and the times of the clock; of a manifest its digest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == MANIFEST:
            found[name] = Manifest.read(path.parent).digest
        elif path.is_file() and path.name not in ("run.lock", "train.jsonl") and not name.startswith("report/"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nothing disturbed, in a process that has loaded everything."""
    return run(tiny(tmp_path_factory.mktemp("whole")))


def points(count: int, most: int) -> list[int]:
    """Evenly spread crash points, the last 12 among them; all where the variable IMAGELAB_CRASH_POINTS is "all"."""
    if os.environ.get("IMAGELAB_CRASH_POINTS") == "all" or most >= count:
        return list(range(count))
    return sorted({*(round(k * (count - 1) / (most - 1)) for k in range(most)), *range(count - 12, count)})


def test_a_run_that_is_killed_before_any_call_reads_as_a_run_and_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: RunFolder, capfd: pytest.CaptureFixture[str]
):
    runs = tmp_path / "runs"
    runs.mkdir()
    experiment = tiny(runs)
    made = calls(runs, lambda: run(experiment))
    expected = contents(experiment.folder)
    assert expected == contents(whole.path), "two undisturbed runs differ"
    reads = 0
    tried = points(len(made), 70)
    for point in tried:
        shutil.rmtree(experiment.folder)
        killed(runs, lambda: run(experiment), point)
        if (experiment.folder / "config.json").exists():
            reads += _reads_what_is_finished(experiment.folder, whole, f"before call {point}, {made[point]}")
        run(experiment)
        assert contents(experiment.folder) == expected, f"killed before call {point}, {made[point]}"
    assert len(made) > 100 and reads > len(tried) // 2
    with capfd.disabled():
        print(f" [{len(tried)} of {len(made)} crash points of a run] ", end="")


def _reads_what_is_finished(path: Path, whole: RunFolder, where: str) -> int:
    """Open a run as report and watch do: all measurements of every finished shard are there, and the copy is whole."""
    folder = RunFolder.open(path)
    shards = folder.shards()
    expected = [m for m in whole.measurements() if (m.generation, m.line) in shards]
    assert folder.measurements() == expected, where
    if shards:
        copy = (path / "metrics.jsonl").read_text()
        assert copy == "".join(m.to_json() + "\n" for m in expected), where
    return 1


def test_a_power_cut_at_any_call_leaves_a_run_that_goes_on_to_the_same_bytes(tmp_path: Path, whole: RunFolder):
    runs = tmp_path / "runs"
    runs.mkdir()
    experiment = tiny(runs)
    made = calls(runs, lambda: run(experiment))
    shutil.rmtree(experiment.folder)
    for point in points(len(made), 40):
        disk = Disk(tmp_path / f"disk-{point}")

        def work(disk: Disk = disk) -> None:
            disk.watch(runs)
            run(experiment)

        killed(runs, work, point)
        left = tmp_path / f"left-{point}"
        disk.lost(runs, left)
        after = tiny(left)
        if (after.folder / "config.json").exists():
            _reads_what_is_finished(after.folder, whole, f"power cut before call {point}, {made[point]}")
        run(after)
        assert contents(after.folder) == contents(whole.path), f"power cut before call {point}, {made[point]}"
        for folder in (runs, left, disk.store):
            shutil.rmtree(folder)
        runs.mkdir()


def test_without_the_sync_of_folders_the_power_cut_would_be_noticed(tmp_path: Path):
    """The simulated disk forgets: a file whose folder was not synced is gone, one that was not synced is empty."""
    root = tmp_path / "root"
    root.mkdir()
    disk = Disk(tmp_path / "disk")

    def sync(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)

    before = os.fsync
    try:
        disk.watch(root)
        for name in ("whole", "empty", "gone"):
            (root / name).write_text(name)
            if name != "empty":
                sync(root / name)
            if name != "gone":
                sync(root)
    finally:
        os.fsync = before
    disk.lost(root, tmp_path / "left")
    assert {path.name: path.read_text() for path in (tmp_path / "left").iterdir()} == {"whole": "whole", "empty": ""}


@pytest.mark.parametrize("command", ["report", "imagefolder", "model", "branch"])
def test_a_command_that_is_killed_before_any_call_leaves_the_run_as_it_was_and_works_again(
    tmp_path: Path, whole: RunFolder, command: str
):
    out = tmp_path / "out"
    run_path = tmp_path / "runs" / whole.path.name
    shutil.copytree(whole.path, run_path)
    stem = tiny(run_path.parent)
    other = branched(stem, tiny(out / "runs", regime=Mix(), generations=3), 2)

    def again() -> Path:
        if command == "report":
            return write_report(run_path, out / "report").parent
        if command == "branch":
            folder = branch(RunFolder.open(run_path), other, 2)
            return run(other, folder=folder).path
        return export_generation(run_path, 1, out / "set", "model" if command == "model" else "imagefolder")

    def fresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    fresh()
    made = calls(tmp_path, again)
    expected, before = contents(again_result(command, out, other)), contents(run_path)
    for point in points(len(made), 8 if command == "report" else 20):
        fresh()
        killed(tmp_path, again, point)
        where = f"killed before call {point} of {len(made)}, {made[point]}"
        done = command in ("imagefolder", "model") and (out / "set").exists()  # whole, or not there
        assert contents(out / "set" if done else again()) == expected, where
        assert contents(run_path) == before, where
        assert not [path for path in out.rglob("*.partial")], where


def again_result(command: str, out: Path, other: Experiment) -> Path:
    return {"report": out / "report", "branch": other.folder}.get(command, out / "set")


def test_a_branch_that_is_killed_early_and_resumed_keeps_its_origin(tmp_path: Path, whole: RunFolder):
    stem = tiny(whole.path.parent)
    other = branched(stem, tiny(tmp_path, regime=Mix(), generations=3), 2)
    work: Callable[[], object] = lambda: branch(RunFolder.open(whole.path), other, 2)  # noqa: E731
    made, resumed = calls(tmp_path, work), 0
    for point in points(len(made), 12):
        shutil.rmtree(other.folder, ignore_errors=True)
        killed(tmp_path, work, point)
        if (other.folder / "config.json").exists():
            folder = run(other)  # as `imagelab resume` does
            assert folder.provenance["branched_from"]["run"] == whole.path.name, made[point]
            resumed += 1
    assert resumed > 5


@pytest.mark.parametrize("damage", ["cut", "torn", "gone", "doubled", "another line"])
def test_a_lost_or_torn_copy_of_the_measurements_is_written_again_by_whatever_opens_the_run(
    tmp_path: Path, whole: RunFolder, damage: str
):
    path = tmp_path / whole.path.name
    shutil.copytree(whole.path, path)
    copy = path / "metrics.jsonl"
    text = copy.read_text()
    last = len(text.splitlines()[-1]) + 1
    if damage == "gone":
        copy.unlink()
    else:
        changed = {"cut": text[:-last], "torn": text[:-9], "doubled": text * 2, "another line": text[last:]}
        copy.write_text(changed[damage])
    assert RunFolder.open(path).measurements() == whole.measurements()
    assert copy.read_text() == text


def test_a_run_on_a_disk_that_cannot_be_written_to_reads_the_same(tmp_path: Path, whole: RunFolder):
    path = tmp_path / whole.path.name
    shutil.copytree(whole.path, path)
    (path / "metrics.jsonl").write_text("")
    before = {child.name: child.stat().st_mtime_ns for child in path.iterdir()}
    with RunFolder(path).lock():  # held by another process: this one may not write
        assert RunFolder.open(path).measurements() == whole.measurements()
    assert {child.name: child.stat().st_mtime_ns for child in path.iterdir() if child.name != "run.lock"} == {
        name: time for name, time in before.items() if name != "run.lock"
    }
