from __future__ import annotations

import pytest

from imagelab.io.members import chosen, is_debris, is_hidden, is_picture, key_and_ending


def rows(names: list[str], key: str = "") -> tuple[list[int], list[str]]:
    return chosen([(0, name) for name in names], key, "x.tar")


@pytest.mark.parametrize(
    "names",
    [
        [f"sample.{i:04d}.png" for i in range(12)],
        [f"v1.0-{i:03d}.png" for i in range(12)],
        [f"{word}.{i:04d}.png" for word in ("cat", "dog") for i in range(6)],
        [f"{folder}/{i}.png" for folder in "abc" for i in range(4)],
        [f"./{i}.{'png' if i % 2 else 'jpg'}" for i in range(12)],
        [f"img.x{i}y.png" for i in range(12)],
    ],
)
def test_pictures_with_names_of_their_own_are_all_taken_without_a_word(names: list[str]) -> None:
    assert rows(names) == (list(range(12)), [])


def test_several_pictures_a_sample_are_never_chosen_by_their_order() -> None:
    names = [f"{i:03d}.{ending}" for i in range(12) for ending in ("jpg", "seg.png")]
    with pytest.raises(ValueError, match=r"12 of 12 samples .* jpg \(12\), seg\.png \(12\).*--key jpg .*--key all"):
        rows(names)
    assert rows(names, "jpg") == (list(range(0, 24, 2)), ["pictures left out because key is jpg: seg.png (12)"])
    assert rows(names, ".SEG.png")[0] == list(range(1, 24, 2))
    assert rows(names, "all") == (list(range(24)), [])
    with pytest.raises(ValueError, match=r"no picture ends in 'bmp'; the endings are jpg \(12\)"):
        rows(names, "bmp")


def test_samples_of_two_archives_are_not_one_sample() -> None:
    assert chosen([(0, "0.png"), (1, "0.jpg")], "", "folder") == ([0, 1], [])


def test_a_few_samples_with_two_pictures_are_taken_and_counted() -> None:
    taken, (remark,) = rows([f"{i}.png" for i in range(20)] + ["0.jpg"])
    assert taken == list(range(21)) and remark.startswith("1 of 20 samples have several pictures, and each was taken")


def test_a_key_that_no_picture_has_is_said_where_nothing_has_to_be_chosen() -> None:
    taken, (remark,) = rows(["0.png", "1.png"], "jpg")
    assert taken == [0, 1] and "no picture ends in jpg; each was taken (png (2))" in remark


def test_repeated_names_are_all_taken_and_counted() -> None:
    taken, (remark,) = rows(["a.png", "./a.png", "b.png", "a.png"])
    assert taken == [0, 1, 2, 3] and "all of them read: 2 (first a.png)" in remark


def test_hidden_files_and_debris_are_no_pictures() -> None:
    for name in (".x.png", "a/.git/x.png", "__MACOSX/x.png", "a/._x.png", "x.txt", "png", ".png"):
        assert not is_picture(name)
    assert is_picture("./a/X.PNG") and is_picture("../x.png") and is_hidden(".x.png") and not is_hidden("./x.png")
    assert is_debris("__MACOSX/._x.png") and is_debris("a/.DS_Store") and not is_debris(".x.png")


def test_the_ending_is_the_words_after_the_last_number() -> None:
    assert key_and_ending("a.b/000017.cls") == ("a.b/000017", "cls")
    assert key_and_ending("sample.0001.seg.png") == ("sample.0001", "seg.png")
