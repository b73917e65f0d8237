"""kill -9 at ten random moments, then resume: the same bytes as if nothing had happened."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

# A process that has imported everything and computed nothing; each run is a fork of it, so that a kill costs a kill
# and not another half minute of imports.
ZYGOTE = """
import os, signal, sys, time
from pathlib import Path
from imagelab.cli.overrides import load_experiment, parse
from imagelab.cli.run import execute
import torch, diffusers, accelerate, imagelab.lab, imagelab.cli.session
import imagelab.generators.training, imagelab.generators.vae_net
import imagelab.metrics.features, imagelab.report.page
words = ["--runtime.runs", sys.argv[2], "--runtime.threads", "1"]
experiment = parse(load_experiment(Path(sys.argv[1])), words, "test")
for word in sys.stdin:
    started, child = time.monotonic(), os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            code = execute(experiment)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            code = 1
        os._exit(code)
    delay = float(word)
    if delay > 0:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(time.monotonic() - started, os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self, experiment: Path, runs: Path):
        command = [sys.executable, "-c", ZYGOTE, str(experiment), str(runs)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def run(self, kill_after: float = 0.0) -> tuple[float, int]:
        """Run the experiment, killed after so many seconds (0: never); return (seconds, exit code)."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{kill_after}\n")
        self.process.stdin.flush()
        seconds, code = self.process.stdout.readline().split()
        return float(seconds), int(code)

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def digests(runs: Path) -> dict[str, str]:
    (folder,) = runs.iterdir()
    kept = [*folder.rglob("images.npy"), *folder.rglob("metrics.jsonl")]
    return {str(path.relative_to(runs)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(kept)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kills_at_random_moments_change_no_byte(tmp_path: Path):
    smoke = ROOT / "experiments" / "smoke.py"
    whole, killed = Zygote(smoke, tmp_path / "whole"), Zygote(smoke, tmp_path / "killed")
    seconds, code = whole.run()
    whole.close()
    assert code == 0

    rng, codes = np.random.default_rng(7), []
    for share in rng.uniform(0.02, 0.4, 10):
        codes.append(killed.run(kill_after=max(0.05, float(share) * seconds))[1])
        if codes[-1] == 0:  # it came through: begin another run to be killed
            break
    final = killed.run()[1]
    killed.close()

    assert codes.count(-9) >= 2, f"the run was hardly ever caught at work: {codes}"
    assert final == 0
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.partial"))
