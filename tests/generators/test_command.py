"""A generator that is two programs: what is handed over, what is taken back, and every way in which a guest is bad.

The guests are written here: the smallest one copies its training images, without numpy, in some 30 ms.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from imagelab import Command, RunContext
from imagelab.generators import Interrupted
from imagelab.generators.base import ProgramFailed
from imagelab.generators.command_files import natural_key
from imagelab.generators.command_process import HEAD_BYTES, TAIL_BYTES
from imagelab.seeds import image_seeds

TRAIN = """
import os, shutil, sys
images, model = sys.argv[1:3]
shutil.copytree(images, model)
os.remove(os.path.join(images, sorted(os.listdir(images))[0]))  # its own files: it may do with them what it likes
print("learned", len(os.listdir(model)), "images, seed", *sys.argv[3:])
"""
DRAW = """
import os, random, shutil, sys
model, images, count, seed = sys.argv[1:5]
rng, known = random.Random(int(seed)), sorted(os.listdir(model))
for row in range(int(count)):
    shutil.copy(os.path.join(model, rng.choice(known)), os.path.join(images, f"{row}.png"))
"""
SEEDS = image_seeds(0, "sample", 1, 0, range(12))


@pytest.fixture(autouse=True)
def _temporary_files_of_their_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed guest leaves for the user to look at, outside of a run, is not left on this machine."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def pictures(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 3, 8, 8), np.uint8)


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    """A context as the loop makes it: its checkpoint lies in the partial shard."""
    (tmp_path / "shard").mkdir()
    return RunContext(checkpoint=tmp_path / "shard" / "checkpoint.safetensors")


def guest(folder: Path, learn: str = TRAIN, draw: str = DRAW, **settings: Any) -> Command:
    """A guest of these two programs."""
    (folder / "train.py").write_text(learn)
    (folder / "draw.py").write_text(draw)
    lines = {
        "train": "{python} -S train.py {images} {model} {seed}",
        "sample": "{python} -S draw.py {model} {images} {count} {seed}",
    }
    return Command(**{**lines, "directory": folder, **settings})


def learned(recipe: Command, images: np.ndarray, context: RunContext) -> Any:
    """The fitted model, saved into the shard as the loop does it."""
    assert context.checkpoint
    model = recipe.fit(images, 3, context)
    model.save(context.checkpoint.parent / "model")
    return model


# -- the words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": "fit {images} {mdoel}"}, r"unknown placeholder \{mdoel\}. Placeholders: \{images\}, \{model\}, "),
        ({"train": "fit {model}"}, r"the placeholder \{images\} is missing"),
        ({"sample": "draw {model} {images}"}, r"the placeholder \{count\} is missing. Placeholders: \{model\}"),
        ({"sample": "draw {model} {images} {count} {previous_model}"}, r"unknown placeholder \{previous_model\}"),
        ({"train": "fit '{images} {model}"}, "cannot be split into arguments: No closing quotation"),
        ({"train": "fit {images} {model} {"}, "Write {{ and }} for braces"),
        ({"train": "fit {images} {model} {seed:>5}"}, "without a format"),
        ({"train": "fit {images} {model.parent}"}, r"unknown placeholder \{model.parent\}"),
        ({"train": "fit {images} {model} {images_seen}"}, "images_seen = None: .* give both, or neither"),
        ({"images_seen": 5}, r"images_seen = 5: the command train has no \{images_seen\}"),
        ({"environment": ("A B=1",)}, "expected NAME=VALUE, got 'A B=1'"),
    ],
)
def test_a_wrong_command_is_refused_when_the_experiment_is_made(change: dict[str, Any], said: str):
    lines = {"train": "fit {images} {model}", "sample": "draw {model} {images} {count}"}
    with pytest.raises(ValidationError, match=said):
        Command(**{**lines, **change})


def test_names_are_sorted_as_a_person_counts():
    names = ["10.png", "9.png", "a2/1.png", "a10/1.png", "a2/01.png", "b.png", "1.png"]
    assert sorted(names, key=natural_key) == ["1.png", "9.png", "10.png", "a2/01.png", "a2/1.png", "a10/1.png", "b.png"]


# -- a good guest


def test_a_guest_learns_and_draws_and_its_files_are_its_own(tmp_path: Path, pictures: np.ndarray, context: RunContext):
    lines: list[str] = []
    context = RunContext(checkpoint=context.checkpoint, on_line=lines.append)
    (odd := tmp_path / "my guest").mkdir()  # a space in its path stays within one argument
    recipe = guest(odd)
    model = learned(recipe, pictures, context)
    drawn = model.sample(SEEDS)
    assert drawn.shape == (12, 3, 8, 8) and drawn.dtype == np.uint8
    assert all(any((image == known).all() for known in pictures) for image in drawn), "no pixel changes on the way"
    shard = tmp_path / "shard"
    assert sorted(path.name for path in shard.iterdir()) == ["model", "train.log"], "nothing is left over"
    log = (shard / "train.log").read_text()
    assert "learned 6 images, seed 3" in log and lines == ["learned 6 images, seed 3"]
    loaded = recipe.load(shard / "model", context)
    np.testing.assert_array_equal(loaded.sample(SEEDS), drawn)
    assert (loaded.sample(SEEDS[::-1].copy()) != drawn).any(), "the seed of a call depends on all seeds"


def test_every_image_can_have_its_own_seed(tmp_path: Path, pictures: np.ndarray, context: RunContext):
    draw = """
import os, random, shutil, sys
model, images, count, seeds = sys.argv[1:5]
known = sorted(os.listdir(model))
for row, seed in enumerate(open(seeds).read().split()):
    shutil.copy(os.path.join(model, random.Random(int(seed)).choice(known)), os.path.join(images, f"x{row}.png"))
"""
    recipe = guest(tmp_path, draw=draw, sample="{python} -S draw.py {model} {images} {count} {seeds}")
    model = learned(recipe, pictures, context)
    np.testing.assert_array_equal(model.sample(SEEDS[::-1].copy()), model.sample(SEEDS)[::-1])


def test_arrays_are_handed_over_and_taken_back_on_request(
    tmp_path: Path, context: RunContext, rng: np.random.Generator
):
    train = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2] + '.npy')"
    draw = "import shutil, sys; shutil.copy(sys.argv[1] + '.npy', sys.argv[2])"
    for channels in (1, 3):
        pictures = rng.integers(0, 256, (5, channels, 8, 8), np.uint8)
        model = guest(tmp_path, train, draw, files="npy").fit(pictures, 0, context)
        np.testing.assert_array_equal(model.sample(SEEDS[:5]), pictures)


def test_the_model_before_is_handed_over_and_in_generation_1_there_is_none(
    tmp_path: Path, pictures: np.ndarray, context: RunContext
):
    train = TRAIN + "print(repr(sys.argv[4]), os.path.isdir(sys.argv[4]))"
    recipe = guest(tmp_path, train, train="{python} -S train.py {images} {model} {seed} {previous_model}")
    first = learned(recipe, pictures, context)
    again = recipe.fit(pictures, 1, RunContext(), first)
    log = (tmp_path / "shard" / "train.log").read_text()
    assert "'' False" in log and again.program_model.is_dir() and recipe.continues
    said = (again.program_model.parents[1] / "train.log").read_text()
    assert f"{str(first.program_model)!r} True" in said


def test_a_guest_gets_thread_variables_and_variables_of_the_user(tmp_path: Path, pictures: np.ndarray):
    train = TRAIN + "print(os.environ['OMP_NUM_THREADS'], os.environ['MINE'], os.getcwd(), repr(sys.stdin.read()))"
    model = guest(tmp_path, train, environment=("MINE=a b=c",)).fit(pictures, 0, RunContext())
    log = (model.program_model.parents[1] / "train.log").read_text()
    assert f"1 a b=c {tmp_path} ''" in log


# -- bad guests


WROTE = "import os, shutil, sys\nmodel, images, count, seed = sys.argv[1:5]\nknown = os.path.join(model, '00000.png')\n"
COPY = WROTE + "for row in range(int(count){}): shutil.copy(known, os.path.join(images, f'{{row}}.png'))\n"
DRAWN = COPY.format("")
NUMPY = "import sys; import numpy as np; model, images, count, seed = sys.argv[1:5]\n"
PILLOW = "from PIL import Image\nImage.new('{}', ({}, 8)).save(os.path.join(images, '0.png'))\n"
BAD_DRAWERS = {
    "short": (COPY.format(" - 1"), r"expected 12 images of 8 x 8 px, 3 channels, got 11 picture files"),
    "more": (COPY.format(" + 1"), r"expected 12 images of 8 x 8 px, 3 channels, got 13 picture files"),
    "nothing": ("", r"expected 12 images .* got no picture"),
    "text": (
        WROTE + "open(os.path.join(images, 'a.txt'), 'w')",
        r"got no picture \(1 files of other kinds are in it\)",
    ),
    "wider": (DRAWN + PILLOW.format("RGB", 9), r"pictures of different sizes: .*0.png is 9 x 8, .*1.png is 8 x 8"),
    "grey": (DRAWN + PILLOW.format("L", 8), r"got 1 grey pictures \(0.png\)"),
    "clear": (DRAWN + PILLOW.format("RGBA", 8), r"got 1 with transparency"),
    "partly": (DRAWN + "os.truncate(os.path.join(images, '3.png'), 90)", r"got 1 that cannot be read:\s+.*3.png: "),
    "link": (DRAWN + "p = os.path.join(images, '3.png'); os.remove(p); os.symlink(known, p)", "3.png: is a link"),
    "pipe": (DRAWN + "p = os.path.join(images, '3.png'); os.remove(p); os.mkfifo(p)", "3.png: is no regular file"),
    "both": (DRAWN + "open(os.path.join(images, 'x.npy'), 'w')", "expected picture files or one array, got both"),
    "nan": (NUMPY + "np.save(images + '/x', np.full((12, 8, 8, 3), np.nan))", r"float64 \(2,304 values are NaN"),
    "small": (NUMPY + "np.save(images + '/x', np.zeros((12, 4, 4, 3), np.uint8))", "got 4 x 4 px. Nothing is resized"),
    "pickle": (NUMPY + "np.save(images + '/x', np.array([{}], dtype=object), allow_pickle=True)", r"x.npy"),
    "exit": ("print('no weights'); raise SystemExit(1)", r"ended with exit code 1\nIts last lines .*:\n  no weights\n"),
    "killed": ("import os; os.kill(os.getpid(), 9)", r"was killed by signal 9 \(memory\?\)\nIt wrote nothing"),
}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    home = tmp_path_factory.mktemp("guest")
    images = np.random.default_rng(1).integers(0, 256, (6, 3, 8, 8), np.uint8)
    return home, guest(home).fit(images, 0, RunContext())


@pytest.mark.parametrize("kind", BAD_DRAWERS)
def test_a_guest_that_draws_badly_is_refused_in_words(kind: str, fitted: tuple[Path, Any]):
    (home, model), (draw, said) = fitted, BAD_DRAWERS[kind]
    if "numpy" in draw or "PIL" in draw:
        model.recipe = guest(home, sample="{python} draw.py {model} {images} {count} {seed}")
    else:
        model.recipe = guest(home)
    (home / "draw.py").write_text(draw)
    with pytest.raises(ProgramFailed, match=said) as failed:
        model.sample(SEEDS)
    by_hand = str(failed.value).partition("To try it by hand:\n")[2].strip()
    assert by_hand.startswith(f"cd {home} && OMP_NUM_THREADS=1 ") and " draw.py " in by_hand
    if kind in ("exit", "more"):  # the line can be typed into a shell: it does the same again
        code = subprocess.run(by_hand, shell=True, capture_output=True).returncode
        assert code == (1 if kind == "exit" else 0)


def test_a_guest_that_leaves_no_model_or_a_link_is_refused(tmp_path: Path, pictures: np.ndarray):
    with pytest.raises(
        ProgramFailed, match=r"ended well, but wrote no model: expected a file or a folder .*guest/model"
    ):
        guest(tmp_path, "").fit(pictures, 0, RunContext())
    with pytest.raises(ProgramFailed, match="model: is a link; expected a model"):
        guest(tmp_path, "import os, sys; os.symlink('/etc', sys.argv[2])").fit(pictures, 0, RunContext())


def test_a_program_that_is_not_there_is_named(tmp_path: Path, pictures: np.ndarray):
    absent = guest(tmp_path, train="no-such-program {images} {model}")
    with pytest.raises(ProgramFailed, match="cannot be started: 'no-such-program': No such file or directory"):
        absent.fit(pictures, 0, RunContext())
    with pytest.raises(ProgramFailed, match=r"cannot be started in .*gone: No such file or directory"):
        guest(tmp_path, directory=tmp_path / "gone").fit(pictures, 0, RunContext())


def test_chatter_breaks_nothing_and_is_not_all_stored(tmp_path: Path, pictures: np.ndarray, context: RunContext):
    chatter = "import os; os.write(1, b'begin' + bytes(9))\n"
    chatter += "for _ in range(300): os.write(1, b'\\xff\\x1b[31m x\\r\\n' * 4000)\n"
    model = learned(guest(tmp_path, chatter + TRAIN), pictures, context)
    stored = (tmp_path / "shard" / "train.log").read_bytes()
    assert len(stored) < HEAD_BYTES + TAIL_BYTES + 2000 and b"begin" in stored and b"learned 6" in stored
    left_out = int(
        re.findall(rb"\[imagelab: ([0-9,]+) bytes of the output are not stored\]", stored)[0].replace(b",", b"")
    )
    assert left_out > 300 * 4000 * 9 - HEAD_BYTES - TAIL_BYTES
    assert model.sample(SEEDS[:1]).shape == (1, 3, 8, 8)


def test_what_is_quoted_of_the_output_is_safe_to_print(tmp_path: Path, pictures: np.ndarray):
    train = "import os; os.write(1, b'10 %\\r20 %\\n\\x1b[2J\\xff' + b'y' * 5000); raise SystemExit(4)"
    with pytest.raises(ProgramFailed, match="exit code 4") as failed:
        guest(tmp_path, train).fit(pictures, 0, RunContext())
    said = str(failed.value)
    assert "  20 %\n" in said and "10 %" not in said and "\x1b" not in said and "y" * 250 not in said


# -- limits, and nothing left running


BROOD = """
import os, sys, time
for _ in range(2):
    if os.fork() == 0:
        if _: os.setsid()  # leaves the process group
        if os.fork() == 0: _ = 7  # and an orphan of its own
        break
open(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{os.getpid()}.pid"), "w")
if len(sys.argv) > 4 and sys.argv[4] == "leave" and _ == 1 and os.getpid() == os.getsid(0): sys.exit()
time.sleep(60)
"""


def brood(folder: Path, least: int = 3) -> list[int]:
    """Wait until the processes of the guest are there, and return them."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = [int(path.stem) for path in folder.glob("*.pid")]
        if len(found) >= least:
            return found
        time.sleep(0.02)
    raise AssertionError("the guest has not begun")


def alive(processes: list[int]) -> list[int]:
    """Those that run; a process that has ended and waits for its parent counts as ended."""
    found = []
    for process in processes:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        found += [process] if state != "Z" else []
    return found


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_linux
def test_a_guest_that_takes_too_long_is_ended_with_all_it_has_started(tmp_path: Path, pictures: np.ndarray):
    with pytest.raises(ProgramFailed, match=r"did not end within 0.6 s and was ended. .*\(train_seconds\)"):
        guest(tmp_path, BROOD, train_seconds=0.6).fit(pictures, 0, RunContext())
    assert alive(brood(tmp_path)) == []


def test_a_guest_is_told_before_it_is_killed(tmp_path: Path, pictures: np.ndarray):
    polite = "import signal, sys, time; signal.signal(15, lambda *_: (open('told', 'w'), sys.exit()))\n"
    polite += "open('x.pid', 'w'); time.sleep(60)"
    context = RunContext(should_stop=lambda: (tmp_path / "x.pid").exists())
    with pytest.raises(Interrupted):
        guest(tmp_path, polite).fit(pictures, 0, context)
    assert (tmp_path / "told").exists()


@needs_linux
def test_a_guest_is_ended_when_the_run_is_asked_to_stop(tmp_path: Path, pictures: np.ndarray):
    context = RunContext(should_stop=lambda: len(list(tmp_path.glob("*.pid"))) >= 3)
    with pytest.raises(Interrupted):
        guest(tmp_path, BROOD).fit(pictures, 0, context)
    assert alive(brood(tmp_path)) == []


@needs_linux
def test_a_guest_is_ended_when_imagelab_is_killed(tmp_path: Path):
    guest(tmp_path, BROOD)
    code = f"""
from pathlib import Path
from imagelab.generators.command_process import Program, run_program
home = Path("{tmp_path}")
run_program(Program(("{sys.executable}", "-S", "train.py"), home, {{}}, 60, None, ""), home / "log")
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    began = brood(tmp_path)
    assert alive(began) == began
    process.send_signal(signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 20
    while alive(began) and time.monotonic() < end:
        time.sleep(0.02)
    assert alive(began) == []


@needs_linux
def test_what_a_guest_leaves_in_the_background_is_ended(tmp_path: Path, pictures: np.ndarray, context: RunContext):
    server = "import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n"
    server += "  open(sys.argv[0] + '.pid', 'w').write(str(os.getpid()))\n"
    server += "  time.sleep(60)\nwhile not os.path.exists(sys.argv[0] + '.pid'): time.sleep(.01)\n"
    learned(guest(tmp_path, server + TRAIN), pictures, context)
    end = time.monotonic() + 20
    while not (text := (tmp_path / "train.py.pid").read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    assert alive([int(text)]) == []


@needs_linux
def test_a_guest_that_takes_too_much_memory_is_ended(tmp_path: Path, pictures: np.ndarray):
    greedy = "import time; x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096]); time.sleep(60)"
    with pytest.raises(ProgramFailed, match=r"used 0\.\d+ GB of memory, more than memory_gb = 0.1, and was ended"):
        guest(tmp_path, greedy, memory_gb=0.1).fit(pictures, 0, RunContext())


def test_a_limit_can_be_raised_for_a_run_that_was_begun(
    tmp_path: Path, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IMAGELAB_COMMAND_SECONDS", "0.2")
    with pytest.raises(ProgramFailed, match=r"did not end within 0.2 s"):
        guest(tmp_path, "import time; time.sleep(60)").fit(pictures, 0, RunContext())
    monkeypatch.setenv("IMAGELAB_COMMAND_SECONDS", "soon")
    with pytest.raises(ValueError, match="IMAGELAB_COMMAND_SECONDS: expected a number above 0, got soon"):
        guest(tmp_path).fit(pictures, 0, RunContext())


# -- models on disk


@pytest.mark.parametrize("content", ["", "{}", '{"shape": [3, 8]}', '{"shape": "abc"}', "[" * 5000])
def test_a_damaged_record_of_a_model_is_named(content: str, tmp_path: Path):
    (tmp_path / "command.json").write_text(content)
    with pytest.raises(ValueError, match=r"command.json: not "):
        guest(tmp_path).load(tmp_path, RunContext())
    (tmp_path / "command.json").write_text('{"shape": [3, 8, 8]}')
    with pytest.raises(ValueError, match="guest: missing; expected the files of the model"):
        guest(tmp_path).load(tmp_path, RunContext())


def test_pictures_are_png_files_of_one_folder_that_any_reader_opens(tmp_path: Path, rng: np.random.Generator):
    from imagelab.generators.command_files import hand_over

    grey = rng.integers(0, 256, (3, 1, 8, 6), np.uint8)
    folder = hand_over(grey, tmp_path, "png")
    assert sorted(path.name for path in folder.iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with Image.open(folder / "00002.png") as picture:
        assert picture.mode == "L" and (np.asarray(picture) == grey[2, 0]).all()
    array = np.load(hand_over(grey.repeat(3, axis=1), tmp_path, "npy"))
    assert array.shape == (3, 8, 6, 3) and (array[1, :, :, 2] == grey[1, 0]).all(), "uint8 [N,H,W,C]"
