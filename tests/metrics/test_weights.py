from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace

import pytest

from imagelab.metrics.weights import VARIABLE, WEIGHTS, WeightsMissing, folders, locate, status


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A weights file of a few bytes whose name tells the truth, in place of AlexNet's."""
    content = b"a few weights"
    name = f"alexnet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(WEIGHTS["alexnet"], files=(name,)))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_every_official_name_carries_its_digest():
    assert all(re.search(r"-[0-9a-f]{8}\.pth$", file) for weights in WEIGHTS.values() for file in weights.files)


def test_a_file_that_keeps_its_promise_is_found(tiny):
    assert locate("alexnet") == tiny


def test_a_file_with_another_digest_is_refused_and_a_mended_one_accepted(tiny):
    good = tiny.read_bytes()
    tiny.write_bytes(good + b"!")
    with pytest.raises(ValueError, match="SHA-256 begins with") as refused:
        locate("alexnet")
    assert not isinstance(refused.value, WeightsMissing)
    tiny.write_bytes(good)
    assert locate("alexnet") == tiny


def test_the_digest_is_read_again_when_the_file_changes_in_place(tiny):
    assert locate("alexnet") == tiny
    stat = tiny.stat()
    tiny.write_bytes(tiny.read_bytes()[::-1])
    os.utime(tiny, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    with pytest.raises(ValueError, match="its name says"):
        locate("alexnet")


def test_a_missing_file_is_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(WeightsMissing) as missing:
        locate("vgg16")
    for part in ("vgg16-397923af.pth", "528 MB", str(tmp_path), VARIABLE):
        assert part in str(missing.value)


def test_the_users_folder_comes_first_and_torch_hubs_second(tiny, monkeypatch, tmp_path_factory):
    hub = tmp_path_factory.mktemp("hub")
    monkeypatch.setenv("TORCH_HOME", str(hub))
    (hub / "hub" / "checkpoints").mkdir(parents=True)
    copy = hub / "hub" / "checkpoints" / tiny.name
    copy.write_bytes(tiny.read_bytes())
    assert locate("alexnet") == tiny
    tiny.unlink()
    assert locate("alexnet") == copy


def test_without_a_variable_the_cache_folder_is_searched(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folders() == [tmp_path / "imagelab" / "weights", tmp_path / "torch" / "hub" / "checkpoints"]


def test_the_message_does_not_tell_the_users_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "my weights"))
    with pytest.raises(WeightsMissing, match=r"into ~/my weights,"):
        locate("vgg16")


def test_status_says_present_damaged_and_missing(tiny):
    lines = {line.partition(":")[0]: line for line in status()}
    assert list(lines) == list(WEIGHTS)
    assert lines["alexnet"].startswith("alexnet: present")
    assert lines["vgg16"].startswith("vgg16: missing")
    tiny.write_bytes(b"cut")
    assert any(line.startswith("alexnet: UNUSABLE") for line in status())


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown name"):
        locate("resnet")
