from __future__ import annotations

import numpy as np
import pytest

from imagelab.io.grouping import check_rule, group_keys

NAMES = ["b/x/1.png", "a/x/2.png", "b/y/3.png", "b/x/4.png"]


def test_the_own_folder_is_a_group_by_its_whole_path() -> None:
    keys = group_keys(NAMES, "folder")
    assert keys.dtype == np.int64
    assert keys.tolist() == [1, 0, 2, 1]


def test_a_folder_level_groups_all_that_is_below_it() -> None:
    assert group_keys(NAMES, "folder:1").tolist() == [1, 0, 1, 1]
    assert group_keys(NAMES, "folder:2").tolist() == [1, 0, 2, 1]


def test_a_regular_expression_is_searched_in_the_path_and_its_one_group_is_the_key() -> None:
    assert group_keys(["s/p12-a.png", "t/p12-b.png", "t/p3.png"], r"/p([0-9]+)").tolist() == [0, 0, 1]


@pytest.mark.parametrize("rule", ["folder:0", "folder:x", "person", "(a)(b)", "([0-9]+", "(a)" * 2, "(?:a)"])
def test_what_is_no_rule_is_refused_with_the_three_forms(rule: str) -> None:
    with pytest.raises(ValueError, match=r"expected folder, folder:N .*exactly one capture group"):
        check_rule(rule)


@pytest.mark.parametrize("rule", ["folder:3", r"([0-9]+)\.jpg", r"(q?)\.png"])
def test_pictures_without_a_group_are_counted_and_three_are_named(rule: str) -> None:
    with pytest.raises(
        ValueError, match=r"4 of 4 pictures have no group .*'b/x/1.png', 'a/x/2.png', 'b/y/3.png' and 1 more"
    ):
        group_keys(NAMES, rule)
