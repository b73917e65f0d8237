"""A run on a store and back: whole, compared, sent once; a store is not trusted."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from imagelab import Runtime
from imagelab.cli.entry import main
from imagelab.export.pulled import pull_run
from imagelab.export.storage import push_run
from imagelab.io.chain import SEALS
from imagelab.io.manifest import MANIFEST, Manifest
from imagelab.run_folder import RunFolder
from imagelab.runs.check import check_run
from imagelab.runs.run import run

from .conftest import Earlier, killed_at, small

DISTRIBUTION = "imagelab-collapse"


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: Manifest.read(path).digest for path in sorted(folder.glob("gen-???*")) if (path / MANIFEST).exists()
    }


def size_of(folder: Path) -> int:
    names = ["config.json", "provenance.json", SEALS]
    shards = [path for path in folder.glob("gen-*/") if (path / MANIFEST).exists()]
    listed = [size for shard in shards for size, _ in Manifest.read(shard).files.values()]
    return sum(listed) + sum(
        (folder / name).stat().st_size for name in [*names, *(f"{s.name}/{MANIFEST}" for s in shards)]
    )


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_run_comes_back_as_it_was_sent_and_is_sent_once(kind: str, small_run: Path, tmp_path: Path):
    address = f"file://{tmp_path}/store" if kind == "file" else f"memory://{tmp_path.name}/store"
    pushed = push_run(small_run, address)
    assert (pushed.shards, pushed.sent, pushed.bytes) == (5, 5, size_of(small_run))
    again = push_run(small_run, pushed.address)
    assert (again.address, again.sent, again.bytes) == (pushed.address, 0, 0)
    pulled = pull_run(pushed.address, tmp_path / "runs")
    assert (pulled.folder.name, pulled.shards) == (small_run.name, 5)
    check = check_run(pulled.folder)
    assert not check.problems and not check.notes
    assert digests(pulled.folder) == digests(small_run)
    for name in ("config.json", "provenance.json", SEALS, "metrics.jsonl"):
        assert (pulled.folder / name).read_bytes() == (small_run / name).read_bytes(), name
    with pytest.raises(ValueError, match="exists already; nothing was read"):
        pull_run(pushed.address, tmp_path / "runs")


def test_what_an_interrupted_push_has_left_is_completed_and_no_more(store: Path, small_run: Path, tmp_path: Path):
    half, wrong, last = (store / "gen-002" / name for name in ("images.npy", "probe.npy", MANIFEST))
    half.write_bytes(half.read_bytes()[:1000])
    wrong.write_bytes(bytes(wrong.stat().st_size))
    lacking = sum((small_run / "gen-002" / path.name).stat().st_size for path in (half, wrong, last))
    last.unlink()
    with pytest.raises(ValueError, match=r"gen-002 is not on the store\. Push the run again"):
        pull_run(f"file://{store}", tmp_path / "runs")
    pushed = push_run(small_run, f"file://{store}")
    assert (pushed.sent, pushed.bytes) == (1, lacking)
    assert digests(pull_run(f"file://{store}", tmp_path / "runs").folder) == digests(small_run)


def test_a_kill_at_any_moment_leaves_no_half_run_here_or_there(small_run: Path, tmp_path: Path):
    store, runs = tmp_path / "store", tmp_path / "runs"
    address = f"file://{store / small_run.name}"
    for number in (2, 9, 30, 55):
        assert killed_at(lambda: push_run(small_run, address), store, number) == 137
        there = {path.parent.name for path in store.rglob(MANIFEST)}
        for name in there:  # a manifest says that all of its files are there
            sealed = Manifest.read(store / small_run.name / name)
            assert all(sealed.check(store / small_run.name / name, file) for file in sealed.files)
    push_run(small_run, address)
    for number in (2, 20, 40):
        assert killed_at(lambda: pull_run(address, runs), runs, number) == 137
        assert not (runs / small_run.name).exists()
    assert digests(pull_run(address, runs).folder) == digests(small_run)
    assert [path.name for path in runs.iterdir()] == [small_run.name]


def test_a_run_that_has_grown_adds_what_is_new_and_work_in_progress_stays_here(
    earlier: Earlier, small_run: Path, tmp_path: Path
):
    address = f"file://{tmp_path}/store"
    assert push_run(earlier(tmp_path / "a", 1), address).sent == 3
    assert not list((tmp_path / "store").rglob("*.partial*"))
    pushed = push_run(small_run, address)
    assert (pushed.shards, pushed.sent) == (5, 2)
    assert digests(pull_run(pushed.address, tmp_path / "runs").folder) == digests(small_run)


def test_a_pulled_run_goes_on_to_the_same_bytes(earlier: Earlier, small_run: Path, tmp_path: Path):
    pushed = push_run(earlier(tmp_path / "a", 1), f"file://{tmp_path}/store")
    pulled = pull_run(pushed.address, tmp_path / "runs").folder
    assert digests(pulled).keys() == {"gen-000", "gen-001", "gen-001-line-1"}
    assert run(small(tmp_path / "runs")).path == pulled
    assert digests(pulled) == digests(small_run)


def test_two_pushes_at_once_leave_a_whole_run(small_run: Path, tmp_path: Path):
    address = f"file://{tmp_path}/store"
    children = []
    for _ in range(2):
        if not (child := os.fork()):
            code = 1
            try:
                code = int(push_run(small_run, address).shards != 5)
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert digests(pull_run(f"{address}/{small_run.name}", tmp_path / "runs").folder) == digests(small_run)
    assert not list((tmp_path / "store").rglob("*.partial"))


def test_two_runs_are_never_mixed_on_a_store(store: Path, small_run: Path):
    other = replace(Manifest.read(store / "gen-001"), made_with={"threads": 7})
    other.write(store / "gen-001")
    with pytest.raises(ValueError, match=r"its gen-001 is not the one of .* the two were made apart"):
        push_run(small_run, f"file://{store}")
    (store / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds another run of this name"):
        push_run(small_run, f"file://{store}")


def test_a_damaged_run_is_not_sent(earlier: Earlier, tmp_path: Path):
    folder = earlier(tmp_path / "a", 1)
    images = folder / "gen-001" / "images.npy"
    images.write_bytes(images.read_bytes()[:-1] + b"\7")
    with pytest.raises(ValueError, match="not what the run wrote"):
        push_run(folder, f"file://{tmp_path}/store")
    assert not (tmp_path / "store").exists()


class Rotten(MemoryFileSystem):
    """A store that changes the last byte of every array that is written to it."""

    protocol = "rotten"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("rotten://"))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **settings: Any,
    ) -> Any:
        if mode == "rb" and path.endswith(".npy"):
            return io.BytesIO(self.store[path].getvalue()[:-1] + b"\7")
        return super()._open(path, mode, block_size, autocommit, cache_options, **settings)


def test_a_store_that_gives_back_other_bytes_is_noticed_when_it_is_sent_to(small_run: Path):
    fsspec.register_implementation("rotten", Rotten, clobber=True)
    with pytest.raises(ValueError, match=r"gen-000/\w+\.npy: the store gives back other bytes than were sent"):
        push_run(small_run, "rotten://store")


def _rewritten(shard: Path, files: dict[str, tuple[int, str]]) -> None:
    """Write a manifest as a forger would, with a checksum that fits."""
    manifest = Manifest.read(shard)
    replace(manifest, files={**manifest.files, **files}).write(shard)


DIGEST = "0" * 64
OUTSIDE = [
    "../../../planted",
    "/tmp/imagelab-planted",
    "model/../../../planted",
    "features/planted.npz",
    MANIFEST,
    "a\\b",
    "~/x",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_no_run_has_is_refused_before_its_file_is_read(name: str, store: Path, tmp_path: Path):
    _rewritten(store / "gen-001", {name: (3, DIGEST)})
    with pytest.raises(ValueError, match="which no run has"):
        pull_run(f"file://{store}", tmp_path / "deep" / "runs")
    assert not list((tmp_path / "deep" / "runs").iterdir())
    assert not list(tmp_path.rglob("planted*")) and not Path("/tmp/imagelab-planted").exists()


def flip(store: Path) -> None:
    images = store / "gen-001" / "images.npy"
    images.write_bytes(images.read_bytes()[:-1] + b"\7")


def swap(store: Path) -> None:
    for old, new in (("gen-001", "t"), ("gen-002", "gen-001"), ("t", "gen-002")):
        (store / old).rename(store / new)


def mix(store: Path) -> None:
    _rewritten(store / "gen-001", {"probe.npy": Manifest.read(store / "gen-001-line-1").files["probe.npy"]})
    shutil.copy(store / "gen-001-line-1" / "probe.npy", store / "gen-001" / "probe.npy")


def grow(store: Path) -> None:
    with (store / "gen-001" / "images.npy").open("ab") as file:
        file.write(bytes(10))


def negative(store: Path) -> None:
    _rewritten(store / "gen-001", {"nothing": (-1, DIGEST)})


def settings(store: Path) -> None:
    config = store / "config.json"
    config.write_text(config.read_text().replace('"images": 40', '"images": 41'))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flip, "gen-001/images.npy: was changed since it was written"),
        (swap, "gen-001: holds generation 2"),
        (mix, "was made from another gen-001 than the one that is here|not the one that this run made"),
        (grow, "gen-001/images.npy: is not whole on the store"),
        (negative, "of -1 bytes, which no run has"),
        (settings, "config.json: was changed"),
    ],
)
def test_a_store_that_was_changed_gives_no_run(harm: Callable[[Path], None], said: str, store: Path, tmp_path: Path):
    harm(store)
    with pytest.raises(ValueError, match=said):
        pull_run(f"file://{store}", tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_a_manifest_of_more_files_than_a_run_has_is_refused(
    pushed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("imagelab.export.pulled.FILES", 3)
    with pytest.raises(ValueError, match=r"its manifest lists \d+ files; expected about a dozen"):
        pull_run(f"file://{pushed_once}", tmp_path / "runs")


def test_what_is_no_address_of_one_run_is_refused_in_words(pushed_once: Path, tmp_path: Path):
    for address, said in (
        (f"file://{pushed_once.parent}", f"runs in it: {pushed_once.name}"),
        (f"file://{pushed_once}/..", "expected the address of one run"),
        (str(pushed_once), "expected an address such as s3://"),
        ("nonsense://here/run", "Protocol not known"),
    ):
        with pytest.raises(ValueError, match=said):
            pull_run(address, tmp_path / "runs")


def test_without_s3fs_the_message_says_how_to_get_it(small_run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=rf"s3:// needs another package: pip install '{DISTRIBUTION}\[storage\]'"):
        push_run(small_run, "s3://bucket/runs")


def test_a_live_run_on_a_store_is_refused_with_the_command_to_use(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match="imagelab push RUN s3://bucket/runs`"):
        Runtime(runs="s3://bucket/runs")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="imagelab pull gs://bucket/runs/tiny FOLDER"):
        RunFolder.open(Path("gs://bucket/runs/tiny"))
    address = "s3://bucket/runs/tiny"
    reads = [["report"], ["resume"], ["check"], ["query"], ["mirror"], ["run"], ["serve"], ["push"]]
    more = {"query": ["select 1"], "mirror": ["--to", "tensorboard"], "push": ["file:///nowhere"]}
    for words in reads:
        with pytest.raises(SystemExit) as stopped:
            main([*words, address, *more.get(words[0], [])])
        assert stopped.value.code == 1, words
        assert "imagelab pull s3://bucket/runs/tiny FOLDER" in capsys.readouterr().err, words


def test_push_and_pull_are_commands(small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for words in (
        ["push", str(small_run), f"file://{tmp_path}/s"],
        ["pull", f"file://{tmp_path}/s/{small_run.name}", "runs"],
    ):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stopped:
            patch.chdir(tmp_path)
            main(words)
        assert stopped.value.code == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "5 generation folders sent" in said and f"imagelab pull file://{tmp_path}/s/{small_run.name} FOLDER" in said
    assert digests(tmp_path / "runs" / small_run.name) == digests(small_run)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of a bucket of an S3 server that runs in this process, on 127.0.0.1."""
    for name, extra in (("s3fs", "storage"), ("moto", "test"), ("flask", "test")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install '{DISTRIBUTION}[{extra}]'")
    server = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "ours", "AWS_SECRET_ACCESS_KEY": "ours", "AWS_DEFAULT_REGION": "us-east-1"}
    places = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "HOME": str(tmp_path / "home")}
    for name, value in {**keys, **places}.items():
        monkeypatch.setenv(name, value)
    system = importlib.import_module("s3fs").S3FileSystem(skip_instance_cache=True)
    system.call_s3("create_bucket", Bucket="bucket")
    yield "s3://bucket/runs"
    server.stop()


def test_a_run_goes_to_s3_and_back(bucket: str, earlier: Earlier, small_run: Path, tmp_path: Path):
    assert push_run(earlier(tmp_path / "a", 1), bucket).sent == 3
    pushed = push_run(small_run, bucket)
    assert (pushed.address, pushed.sent) == (f"{bucket}/{small_run.name}", 2)
    again = push_run(small_run, bucket)
    assert (again.sent, again.bytes) == (0, 0)
    pulled = pull_run(pushed.address, tmp_path / "runs")
    assert digests(pulled.folder) == digests(small_run) and not check_run(pulled.folder).problems
    system = importlib.import_module("s3fs").S3FileSystem(skip_instance_cache=True)
    system.pipe_file(f"{pushed.address}/gen-001/images.npy", bytes((small_run / "gen-001/images.npy").stat().st_size))
    with pytest.raises(ValueError, match=r"gen-001/images\.npy: was changed since it was written"):
        pull_run(pushed.address, tmp_path / "again")
    with pytest.raises(ValueError, match=r"no run is there|the store says"):
        pull_run("s3://nowhere/small-1", tmp_path / "again")
