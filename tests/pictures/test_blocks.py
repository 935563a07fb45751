"""The spine of a net, and which boxes are a group."""

from __future__ import annotations

import pytest

from layerforge.pictures.blocks import groups, spine


@pytest.mark.parametrize(("count", "arrows", "found"), [
    (1, [], [0]), (3, [(0, 1), (1, 2)], [0, 1, 2]), (3, [(0, 1), (0, 2), (1, 2)], [0, 2]),
    (5, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], [0, 1, 4]),
    (4, [(0, 1), (2, 3)], [0, 1, 2, 3]), (4, [(0, 2), (1, 2), (2, 3)], [0, 2, 3])])
def test_the_spine_is_what_no_arrow_passes_by(count, arrows, found):
    assert spine(count, arrows) == found


@pytest.mark.parametrize(("names", "upright", "found"), [
    (["data", "a/x", "a/y", "b/z", "end"], [0, 4], ["", "a", "a", "", ""]),
    (["pool", "res2a_branch1", "res2a_branch2a", "res2a"], [0, 3], ["", "res2a", "res2a", "res2a"]),
    (["stem", "a1_1x1", "a1_3x3", "a1_concat"], [0, 3], ["", "a1", "a1", "a1"]),
    (["stem", "a1_1x1", "a1_3x3", "sum"], [0, 3], ["", "a1", "a1", ""]),
    (["stem", "conv2_1_1x1", "conv2_1_3x3", "conv2_1"], [0, 3], ["", "conv2_1", "conv2_1", "conv2_1"]),
    (["conv1_1", "conv1_2", "conv1_3"], [0, 1, 2], ["", "", ""]),
    (["x", "left", "right", "sum"], [0, 3], ["", "", "", ""])])
def test_what_names_or_blocks_share_is_a_group(names, upright, found):
    assert groups(names, upright) == found
