"""Training logs read back."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from layerforge.core.errors import DataError
from layerforge.solver.log_reader import parse_log, read_log

LOGS = Path(__file__).parents[1] / "golden" / "files" / "logs"


def log(*lines, stamp="I1120 10:00:{:02}.000000    42 solver.cpp:1] "):
    return parse_log([stamp.format(i) + line for i, line in enumerate(lines)], 2026)


def test_caffes_log_gives_its_rows():
    found = read_log(LOGS / "train.txt")
    assert [(row.iteration, row.outputs["loss"]) for row in found.train] == [
        (0, 2.36323), (5, 1.60146), (10, 1.64823), (15, 1.56656)]
    assert [(row.iteration, row.outputs) for row in found.test][1] == (10, {"accuracy": 0.3, "loss": 1.58178})
    assert found.losses[:2] == [(0, 2.36323), (5, 1.60146)]


def test_a_row_has_the_rate_of_its_iteration():
    assert [row.learning_rate for row in read_log(LOGS / "train.txt").train] == [0.05, 0.05, 0.05, 0.025]


def test_rows_before_the_first_rate_take_it():
    assert read_log(LOGS / "train.txt").test[0].learning_rate == 0.05


def test_seconds_count_from_the_line_that_says_solving():
    found = log("Iteration 0, loss = 3", "Solving net", "Iteration 0, loss = 2", "    Train net output #0: loss = 2")
    assert found.train[0].seconds == 2


def test_a_year_ends_within_a_log():
    lines = ["I1231 23:59:59.5 1 solver.cpp:1] Solving", "I0101 00:00:01.5 1 solver.cpp:1] Iteration 3, loss = 1",
             "I0101 00:00:01.5 1 solver.cpp:1]     Train net output #0: loss = 1"]
    assert parse_log(lines, 2025).train[0].seconds == 2


def test_two_test_nets_make_two_rows():
    found = log("Iteration 4, Testing net (#0)", "    Test net output #0: acc = 0.5",
                "Iteration 4, Testing net (#1)", "    Test net output #0: acc = 0.25")
    assert [(row.net, row.outputs) for row in found.test] == [(0, {"acc": 0.5}), (1, {"acc": 0.25})]


def test_values_that_are_no_numbers_are_nan():
    found = log("Iteration 4, loss = nan", "    Train net output #0: loss = -nan(ind)")
    assert math.isnan(found.train[0].outputs["loss"]) and math.isnan(found.losses[0][1])


def test_lines_that_are_no_log_lines_are_skipped():
    lines = ["Iteration 7, loss = 3", "I9999 99:99:99 nothing", "", "I1120 10:00:00 1 x] Iteration 1, loss = 2"]
    found = parse_log(lines, 2026)
    assert found.losses == [(1, 2.0)]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe" * 100, b"I1120 10:00:00 1 x] hello\n"])
def test_what_is_no_training_log_is_an_error(content, tmp_path):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(DataError, match="tells of no iteration"):
        read_log(tmp_path / "log")
