"""People in the loop as users have it: exit code 4, decisions over HTTP, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagelab.cli.entry import main
from imagelab.run_folder import RunFolder
from imagelab.runs.waiting import waiting_shards
from imagelab.server.audit_pages import audit_routes
from imagelab.server.audit_plan import Asked
from imagelab.server.audit_results import audit_results
from imagelab.server.audit_session import audit_session

EXPERIMENT = {
    "name": "people",
    "data": {"kind": "textures", "size": 16},
    "generator": {"kind": "gaussian", "components": 8},
    "curation": {"kind": "human_audit", "fraction": 0.5, "looks": 12},
    "generations": 1,
    "images": 12,
    "heldout": 16,
    "tracked": 4,
    "metrics": ["pixel_variance"],
}


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def test_a_run_stops_with_4_and_goes_on_with_what_was_decided_over_http(
    tmp_path: Path, serve: Callable[..., Any], capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "people.json").write_text(json.dumps(EXPERIMENT))
    words = ("run", str(tmp_path / "people.json"), "--runtime.runs", str(tmp_path / "runs"), "--runtime.workers", "1")
    assert command(*words) == 4
    (run,) = (tmp_path / "runs").iterdir()
    assert f"Decide: imagelab audit {run}\nThen go on: imagelab resume {run}" in capsys.readouterr().err
    (waiting,) = waiting_shards(run)
    asked = Asked("keep", 12, (1,), 0, 0, waiting.digest)
    kept = []
    with audit_session(RunFolder.open(run), asked, "anna", waiting) as session:
        client = serve(audit_routes(session, lambda: audit_results(run), f"imagelab resume {run}"))
        assert b"12 of 24 will be published" in client.get("/")[2]
        for number, each in enumerate(session.plan.shown):
            text = client.get("/question")[2].decode()
            name = text.partition('name="picture" value="')[2].partition('"')[0]
            assert f"{len(kept)} of {number} kept so far" in text
            word = ("keep", "reject")[number % 3 > 0]
            kept += [each.row] * (word == "keep")
            assert client.post("/answer", {"picture": name, "answer": word})[0] == 303
        end = client.get("/end")[2].decode()
    assert f"<code>imagelab resume {run}</code>" in end and "Kept 4 of 12" in end
    assert "The 12 that nobody saw are judged by a classifier" in end
    assert command("resume", str(run)) == 0
    folder = RunFolder.open(run)
    assert set(kept) <= set(folder.candidates(1).tolist()) and len(folder.images(1)) == 12
    rejected = set(waiting.looked.tolist()) - set(kept)
    assert not rejected & set(folder.candidates(1).tolist())  # twelve others were there to choose from
    np.testing.assert_array_equal(folder.images(1), waiting.images[folder.candidates(1)])
    assert command("check", str(run)) == 0
