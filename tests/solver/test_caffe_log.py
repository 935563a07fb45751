"""The log in Caffe's words."""

import io
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from layerforge.schema.read import read_solver
from layerforge.solver.caffe_log import CaffeLog, prefix
from layerforge.solver.loop import Solver
from layerforge.solver.observer import Output, Report, TestReport

WHEN = datetime(2026, 11, 20, 23, 10, 11, 123456)


@pytest.fixture
def log():
    return CaffeLog(io.StringIO(), now=lambda: WHEN)


def lines(log):
    return [line.split("] ", 1)[1] for line in log.stream.getvalue().splitlines()]


def test_every_line_begins_as_glog_begins_it():
    assert prefix(WHEN, "solver.cpp:239", process=1234) == "I1120 23:10:11.123456  1234 solver.cpp:239] "


def test_an_iteration_is_told_as_caffe_tells_it(log):
    loss = Output(0, "loss", 2.363229, 1.0)
    log.on_iteration(Report(5, 20, 1.601459, 1.5, 0.05, True, 5, (loss, Output(1, "top5", 0.5)), 0.25, 5))
    assert lines(log) == ["Iteration 5 (20 iter/s, 0.25s/5 iters), loss = 1.60146",
                          "    Train net output #0: loss = 2.36323 (* 1 = 2.36323 loss)",
                          "    Train net output #1: top5 = 0.5"]


def test_iterations_between_display_are_silent(log):
    log.on_iteration(Report(3, 20, 1.0, 1.0, 0.05))
    assert lines(log) == []


def test_a_test_is_told_as_caffe_tells_it(log):
    log.on_test_start(10, 1)
    log.on_test(TestReport(10, 1, (Output(0, "accuracy", 0.3), Output(1, "loss", 1.5, 2.0)), 3.0, 0.1))
    assert lines(log) == ["Iteration 10, Testing net (#1)", "Test loss: 3", "    Test net output #0: accuracy = 0.3",
                          "    Test net output #1: loss = 1.5 (* 2 = 3 loss)"]


def test_snapshots_name_their_files(log):
    for file_format in ("BINARYPROTO", "HDF5"):
        log.on_snapshot("w", "weights", file_format)
        log.on_snapshot("s", "state", file_format)
    assert lines(log) == ["Snapshotting to binary proto file w", "Snapshotting solver state to binary proto file s",
                          "Snapshotting to HDF5 file w", "Snapshotting solver state to HDF5 file s"]


def test_numbers_are_in_the_form_that_caffes_parsers_read(log):
    for value in (1e-7, 123456789.0, 0.0001, float("nan")):
        log.on_test(TestReport(0, 0, (Output(0, "x", value),), None, 0.0))
    found = re.findall(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)", log.stream.getvalue())
    assert [v for _, _, v in found] == ["1e-07", "1.23457e+08", "0.0001"]


GOLDEN = Path(__file__).parents[1] / "golden" / "files"
SOURCES = ("solver.cpp", "sgd_solver.cpp", "net.cpp:593", "net.cpp:605", "net.cpp:621", "net.cpp:632", "net.cpp:721")
VALUE = re.compile(r"(?<![\w#])-?(nan|inf|\d[\d.]*(e[+-]\d+)?)(?=[\s,);]|s/|$)")


def skeleton(text):
    """The solver's lines with their files: values and repeated blanks taken out. Clipping follows from the values."""
    rows = re.findall(r"^[IE]\d+ [\d:.]+ +\d+ ([\w.]+:\d+)\] (.*)$", text, re.M)
    return [(source.split(":")[0], " ".join(VALUE.sub("N", words).split())) for source, words in rows
            if source.startswith(SOURCES) and not words.startswith("Gradient clipping")]


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Trains the recorded solver and returns our log; the arguments: its file, and the state to go on from."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(GOLDEN / "db_lmdb", "db_lmdb")
    shutil.copytree(GOLDEN / "db_lmdb", "test_lmdb")
    for path in (GOLDEN / "logs").glob("*.prototxt"):
        shutil.copy(path, path.name)

    def run(solver_file, state=None):
        log = CaffeLog(io.StringIO())
        solver = Solver(read_solver(solver_file), observer=log)
        if state:
            solver.restore(state)
        solver.solve()
        solver.close()
        return log.stream.getvalue()

    return run


def test_a_training_run_reads_line_by_line_like_caffes(logged):
    assert skeleton(logged("solver.prototxt")) == skeleton((GOLDEN / "logs" / "train.txt").read_text())


def test_a_resumed_run_reads_like_caffes(logged):
    logged("solver.prototxt")
    ours = skeleton(logged("solver.prototxt", "tiny_iter_10.solverstate"))
    assert ours == skeleton((GOLDEN / "logs" / "train_resumed.txt").read_text())


def test_debug_info_reads_like_caffes(logged):
    ours = skeleton(logged("solver_avg.prototxt"))
    assert ours == skeleton((GOLDEN / "logs" / "train_debug_clip.txt").read_text())
