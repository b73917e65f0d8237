from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace

import pytest

from imagelab.metrics.weights import UNPINNED, VARIABLE, WEIGHTS, WeightsMissing, folders, locate, state, status


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A valid weights file of a few bytes in place of AlexNet's."""
    content = b"a few weights"
    digest = hashlib.sha256(content).hexdigest()
    name = f"alexnet-{digest[:8]}.pth"
    wanted = replace(WEIGHTS["alexnet"], files=(name,), sha256=digest, size=len(content))
    monkeypatch.setitem(WEIGHTS, "alexnet", wanted)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_digests_are_whole_and_agree_with_the_digits_in_official_names():
    for name, weights in WEIGHTS.items():
        assert re.fullmatch(r"[0-9a-f]{64}", weights.sha256), name
        stated = {found[1] for file in weights.files if (found := re.search(r"-([0-9a-f]{8})\.pth$", file))}
        assert stated == ({weights.sha256[:8]} if name != "dinov2-vitl14" else set())


def test_every_source_is_the_file_itself_over_https():
    for weights in WEIGHTS.values():
        assert weights.source.startswith("https://") and weights.source.endswith("/" + weights.files[0])
        assert weights.size > 1_000_000 and weights.licence and weights.used_for


def test_a_file_with_the_right_digest_is_found(tiny):
    assert locate("alexnet") == tiny


def test_a_file_with_another_digest_is_refused_and_a_repaired_one_accepted(tiny):
    good = tiny.read_bytes()
    tiny.write_bytes(good + b"!")
    with pytest.raises(ValueError, match=r"SHA-256 begins with .* 14 bytes, not 13.*fetch alexnet") as refused:
        locate("alexnet")
    assert not isinstance(refused.value, WeightsMissing)
    tiny.write_bytes(good)
    assert locate("alexnet") == tiny


def test_the_whole_digest_is_checked_not_only_what_the_name_says(tiny, monkeypatch):
    wanted = WEIGHTS["alexnet"]
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(wanted, sha256=wanted.sha256[:8] + "0" * 56))
    with pytest.raises(ValueError, match="SHA-256"):
        locate("alexnet")


def test_the_digest_is_read_again_when_the_file_changes_in_place(tiny):
    assert locate("alexnet") == tiny
    stat = tiny.stat()
    tiny.write_bytes(tiny.read_bytes()[::-1])
    os.utime(tiny, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    with pytest.raises(ValueError, match="SHA-256 begins with"):
        locate("alexnet")


def test_a_missing_file_is_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(WeightsMissing) as missing:
        locate("vgg16")
    for part in ("vgg16-397923af.pth", "553 MB", str(tmp_path), VARIABLE, "weights fetch vgg16", "weights import"):
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


def test_the_message_does_not_contain_the_users_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "my weights"))
    with pytest.raises(WeightsMissing, match=r"into ~/my weights \("):
        locate("vgg16")


def test_status_says_present_damaged_and_missing(tiny):
    def first_words() -> dict[str, str]:
        heads = [line for line in status() if not line.startswith(" ")]
        return {line.partition(":")[0]: line.split()[1].strip(",") for line in heads}

    everything = [*WEIGHTS, *UNPINNED]
    assert first_words() == dict.fromkeys(everything, "missing") | {"alexnet": "present"}
    tiny.write_bytes(b"cut")
    assert first_words()["alexnet"] == "DAMAGED"
    text = "\n".join(status())
    assert "3 bytes, not 13" in text and "Apache-2.0 (Meta)" in text and WEIGHTS["vgg16"].source in text


def test_a_file_that_may_not_be_read_is_damaged_not_missing(tiny, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "not yours", str(tiny))

    monkeypatch.setattr("imagelab.metrics.weights._sha256", refuse)
    assert state("alexnet").word == "DAMAGED" and "not yours" in state("alexnet").fault


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown name"):
        locate("resnet")
