"""Damage small valid inputs at random, read each through its public door, and count what the reader does.

    python tests/mutation.py --count 10000 --seed 0 [--only READER ...] [--case N] [--workers N]

Each case copies the input of one reader, damages one file of it (flipped bits, cuts, inserted, repeated, swapped and
emptied blocks, extreme numbers, and words of its language for text), and opens it in a worker process with limits: 20
seconds, 2 GB of memory, 2 GB for a file. The outcome is one of:

    right      the same pictures or settings as before the damage
    told       fewer or other pictures, and a note, a bad file or the data card says so
    refused    one ValueError or OSError with a message of limited length
    changed    other pixels or settings without a word, in a format without a checksum, so that nothing could show it
    wrong      the same in a format whose checksum shows it
    lost       fewer pictures without a word
    long       a message that is too long
    traceback  any other exception, or a process that dies
    hang       no answer within 20 seconds
    memory     more than 2 GB of memory or of one file

It exits with 1 on wrong, lost, long, traceback, hang or memory. A case is fixed by seed, reader and number; --only
READER --case N repeats one and prints its message. Pytest does not collect this file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutation_readers import READERS, Found, Reader

SECONDS = 20
MOST_MEMORY = 2_000_000_000
MOST_LETTERS = 300 + 400  # quoted, and our own words with the path
MOST_LINES = 25
BAD = ("wrong", "lost", "long", "traceback", "hang", "memory")
OUTCOMES = ("right", "told", "refused", "changed", *BAD)


# -- damage

EXTREMES = (b"\xff", b"\x00", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80", b"\xff" * 8, b"\x00" * 8, b"\x01")
WORDS = (
    *(b"null", b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b"[" * 5000, b'{"a":' * 2000, b"true", b'""'),
    *(b"[]", b"{}", b"\\ud800", b"\xff", b"\x00", b"&a [*a, *a]", b"\x1b[31m", b"../../x", b"\n\n", b" ", b",", b":"),
)


def damaged(content: bytes, rng: random.Random, text: bool) -> bytes:
    """Return the content with one to three random kinds of damage."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _damage(found, rng, text)
    return bytes(found)


def _place(size: int, rng: random.Random) -> int:
    """A position: half of the time in the first or last 200 bytes, where headers and indexes are."""
    near = rng.randrange(min(size, 200)) if size else 0
    return rng.choice((near, max(size - 1 - near, 0), *([rng.randrange(size)] * 2 if size else [0])))


def _damage(found: bytearray, rng: random.Random, text: bool) -> None:
    size = len(found)
    here, there, length = _place(size, rng), _place(size, rng), rng.choice((1, 2, 4, 16, 64, 512))
    kinds = ["flip", "flip", "flips", "cut", "insert", "remove", "repeat", "swap", "empty", "extreme", "extreme"]
    kind = rng.choice(kinds + (["word", "word", "line", "replace", "replace"] if text else []))
    if kind in ("flip", "flips") and size:
        for place in [here] if kind == "flip" else [_place(size, rng) for _ in range(rng.randrange(2, 9))]:
            found[place] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del found[here:]
    elif kind == "insert":
        found[here:here] = rng.randbytes(length)
    elif kind == "remove":
        del found[here : here + length]
    elif kind == "repeat":
        found[there:there] = found[here : here + length]
    elif kind == "swap":
        one, two = found[here : here + length], found[there : there + length]
        found[here : here + length], found[there : there + length] = two, one
    elif kind == "empty":
        found[here : here + length] = bytes(len(found[here : here + length]))
    elif kind == "extreme":
        new = rng.choice(EXTREMES)
        found[here : here + len(new)] = new
    elif kind == "word":
        found[here:here] = rng.choice(WORDS)
    elif kind == "line":
        lines = bytes(found).split(b"\n")
        one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one], lines[two] = lines[two], rng.choice((lines[one], lines[two]))
        found[:] = b"\n".join(lines)
    elif kind == "replace":  # one token by another value
        end = here
        while end < size and found[end] not in b' ,:"\n]}':
            end += 1
        found[here:end] = rng.choice(WORDS)


VALUES = (None, True, -1, 5, 1.5, 1e29, 10**40, "", "x", "\x1b[31m", "\ud800", "y" * 5000, [], [[]], {}, {"kind": 5})


def revalued(content: bytes, rng: random.Random) -> bytes:
    """Return JSON, or one line of JSON lines, with one value exchanged or left out; other content as it is."""
    lines = [content] if content.lstrip()[:2] in (b"{\n", b"{ ") else content.splitlines()
    row = rng.randrange(len(lines)) if lines else 0
    try:
        value = json.loads(lines[row])
    except (ValueError, IndexError, RecursionError):
        return content
    places = list(_places(value))
    if not places:
        return content
    holder, key = rng.choice(places)
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(VALUES)
    lines[row] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def spoil(root: Path, reader: Reader, rng: random.Random) -> str:
    """Damage one file of an input; return its name."""
    path = rng.choice(sorted(path for path in root.glob(reader.files) if path.is_file() and path.stat().st_size))
    content = path.read_bytes()
    exchanged = reader.text and path.suffix in (".json", ".jsonl") and rng.random() < 0.5
    path.write_bytes(revalued(content, rng) if exchanged else damaged(content, rng, reader.text))
    return path.name


# -- one case, in a worker process


def work(pipe: Any, home: str) -> None:
    """Answer (reader, case, seed) with (outcome, message) until the pipe is closed; case -1 is the sound input."""
    os.environ["IMAGELAB_CACHE"] = f"{home}/cache"
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_MEMORY, MOST_MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what decoders say is not under test
    sound: dict[str, Found] = {}
    while True:
        try:
            name, case, seed = pipe.recv()
        except EOFError:
            return
        reader, base, root = READERS[name], Path(home) / name, Path(home) / "case"
        if name not in sound:
            base.mkdir(parents=True)
            try:
                reader.make(base)
                sound[name] = reader.door(base)
            except Exception as error:
                pipe.send(("unread", f"{type(error).__name__}: {error}"))
                continue
        if case < 0:
            pipe.send(("right", ""))
            continue
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base, root)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # begin to count the peak of memory anew
        file = spoil(root, reader, random.Random(f"{seed} {name} {case}"))
        outcome, message = judged(reader, root, sound[name])
        pipe.send(("memory" if peak() > MOST_MEMORY else outcome, f"{file}: {message}"))


def judged(reader: Reader, root: Path, before: Found) -> tuple[str, str]:
    try:
        found = reader.door(root)
    except (ValueError, OSError) as error:
        message = str(error)
        lines = message.splitlines() or [""]
        if isinstance(error, OSError) and error.errno == 27:  # EFBIG
            return "memory", message
        too_long = len(lines) > MOST_LINES or max(map(len, lines)) > MOST_LETTERS
        return ("long" if too_long else "refused"), message
    except BaseException as error:
        return "traceback", "".join(traceback.format_exception(error)[-4:])
    if found.items == before.items:
        return "right", found.said
    if found.said != before.said:
        return "told", found.said
    if len(found.items) < len(before.items):
        return "lost", ""
    return ("wrong" if reader.sum else "changed"), ""


def peak() -> int:
    """Largest resident memory since it was last reset, bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    """A process that is started again where it hangs, dies or has taken too much memory."""

    def __init__(self, home: Path) -> None:
        self.home, self.started = home, 0
        self.process: Any = None

    def ask(self, name: str, case: int, seed: int) -> tuple[str, str]:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.started += 1
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(theirs, f"{self.home}-{self.started}"), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((name, case, seed))
        answer = ("hang", f"no answer in {SECONDS} s")
        try:
            if self.pipe.poll(SECONDS if case >= 0 else 300):
                answer = self.pipe.recv()
        except (EOFError, ConnectionError):
            answer = ("traceback", "the process died")
        if answer[0] in ("hang", "memory") or answer[1] == "the process died":
            self.process.kill()
            self.process = None
        return answer


def cases(names: list[str], count: int) -> dict[str, int]:
    """How many cases each reader gets."""
    total = sum(READERS[name].share for name in names)
    return {name: max(1, round(count * READERS[name].share / total)) for name in names}


def tried(worker: Worker, name: str, numbers: range, seed: int) -> Iterator[tuple[int, str, str]]:
    outcome, message = worker.ask(name, -1, seed)
    if outcome != "right":
        yield -1, "unread", message
        return
    for case in numbers:
        if worker.process is None:
            worker.ask(name, -1, seed)
        yield case, *worker.ask(name, case, seed)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="+", choices=READERS, default=list(READERS))
    options.add_argument("--case", type=int, default=None)
    options.add_argument("--workers", type=int, default=1)
    asked = options.parse_args()
    began, plan = time.time(), cases(asked.only, asked.count)
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(asked.workers) as threads:
        os.environ["MUTATION_RUN"] = f"{home}/runs/sound"
        ready = [Worker(Path(home) / f"worker-{number}") for number in range(asked.workers)]

        def one(name: str) -> tuple[str, list[tuple[int, str, str]]]:
            worker = ready.pop()
            numbers = range(plan[name]) if asked.case is None else range(asked.case, asked.case + 1)
            found = list(tried(worker, name, numbers, asked.seed))
            ready.append(worker)
            return name, found

        results = dict(threads.map(one, asked.only))
        for worker in ready:
            if worker.process is not None:
                worker.pipe.close()
                worker.process.join(5)
    return report(results, asked.case is not None, time.time() - began)


def report(results: dict[str, list[tuple[int, str, str]]], whole: bool, seconds: float) -> int:
    """Print the table and the failures; return the exit code."""
    total: Counter[str] = Counter()
    print(f"{'reader':16}" + "".join(f"{outcome:>10}" for outcome in OUTCOMES) + "  checksum")
    for name, found in results.items():
        if found[0][1] == "unread":
            print(f"{name:16} not read by this version ({found[0][2][:90]})")
            continue
        count = Counter(outcome for _, outcome, _ in found)
        total += count
        row = "".join(f"{count[outcome] or '.':>10}" for outcome in OUTCOMES)
        print(f"{name:16}{row}  {READERS[name].sum or 'none'}")
    print(f"{'all':16}" + "".join(f"{total[outcome] or '.':>10}" for outcome in OUTCOMES) + f"  {seconds:.0f} s")
    for name, found in results.items():
        shown = [each for each in found if each[1] in BAD or whole]
        for case, outcome, message in shown if whole else shown[:3]:
            print(f"\n{outcome}: --only {name} --case {case}\n  {message if whole else message[-400:]}")
        if len(shown) > 3:
            print(f"  and {len(shown) - 3} more of {name}")
    return int(any(total[outcome] for outcome in BAD))


if __name__ == "__main__":
    sys.exit(main())
