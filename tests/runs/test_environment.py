"""The record of a run's surroundings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagelab.runs import environment


def repository(folder: Path) -> str:
    """Make a repository with one commit, and return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_our_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    commit = repository(tmp_path)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "imagelab" / "runs" / "environment.py"))
    (tmp_path / "imagelab").mkdir()
    assert environment._git_state() == {"commit": commit, "dirty": ""}
    (tmp_path / "imagelab" / "new.py").write_text("x = 1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    state = environment._git_state()
    assert state is not None and state["commit"] == commit


def test_a_repository_around_an_installed_package_lends_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    repository(tmp_path)
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    (installed / "imagelab" / "runs").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(installed / "imagelab" / "runs" / "environment.py"))
    assert environment._git_state() is None
