"""train, as a user or a script meets it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from layerforge.cli.main import main


def texts(err: str) -> list[str]:
    """The log lines without their stamps."""
    return [line.split("] ", 1)[1] for line in err.splitlines() if "] " in line]


def test_lines_are_those_of_caffe_in_a_pipe(line, capsys):
    line()
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    captured = capsys.readouterr()
    lines = texts(captured.err)
    assert captured.out == ""
    assert lines[0] == "Use CPU." and lines[-1] == "Optimization Done."
    for part in ("Solving line", "Iteration 0, Testing net (#0)", "Iteration 5, lr = 0.1",
                 "Snapshotting to binary proto file line_iter_5.caffemodel",
                 "Snapshotting solver state to binary proto file line_iter_10.solverstate"):
        assert part in lines
    assert any(re.fullmatch(r"Iteration 5 \(.* iter/s, .*s/5 iters\), loss = [0-9.e-]+", text) for text in lines)
    output = re.compile(r"    Test net output #0: loss = [0-9.e-]+ \(\* 1 = [0-9.e-]+ loss\)")
    assert any(output.fullmatch(text) for text in lines)


def test_weights_and_states_are_written(line):
    folder = line()
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    names = {path.name for path in folder.iterdir()}
    assert {f"line_iter_{n}.{kind}" for n in (5, 10) for kind in ("caffemodel", "solverstate")} <= names


def test_resuming_goes_on_where_the_state_was(line, capsys):
    line()
    main(["train", "-solver", "solver.prototxt"])
    capsys.readouterr()
    assert main(["train", "-solver", "solver.prototxt", "-snapshot", "line_iter_5.solverstate"]) == 0
    lines = texts(capsys.readouterr().err)
    shown = [text for text in lines if re.match(r"Iteration \d+ \(", text)]
    assert len(shown) == 1 and shown[0].startswith("Iteration 5 (")


def test_fine_tuning_takes_the_weights(line, capsys):
    line()
    main(["train", "-solver", "solver.prototxt"])
    capsys.readouterr()
    assert main(["train", "-solver", "solver.prototxt", "-weights", "line_iter_10.caffemodel"]) == 0
    assert "Finetuning from line_iter_10.caffemodel" in texts(capsys.readouterr().err)


def test_snapshot_and_weights_exclude_each_other(line, capsys):
    line()
    assert main(["train", "-solver", "solver.prototxt", "-snapshot", "a", "-weights", "b"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_solver_is_needed(capsys):
    assert main(["train"]) == 2
    assert "--solver is missing" in capsys.readouterr().err


def test_the_log_file_gets_the_lines_too(line):
    folder = line()
    assert main(["train", "-solver", "solver.prototxt", "--log", "run.log"]) == 0
    assert texts((folder / "run.log").read_text())[-1] == "Optimization Done."


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_stops_and_names_the_layer(line, capsys):
    line(lr=1e30)
    assert main(["train", "-solver", "solver.prototxt"]) == 1
    err = capsys.readouterr().err
    assert "layerforge: net.prototxt:" in err and "not finite" in err and "Traceback" not in err


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_allow_nan_goes_on(line):
    line(lr=1e30)
    assert main(["train", "-solver", "solver.prototxt", "--allow-nan"]) == 0


def test_a_typo_in_the_solver_names_place_and_cure(line, capsys):
    line(more="bsae_lr: 1\n")
    assert main(["train", "-solver", "solver.prototxt"]) == 1
    err = capsys.readouterr().err
    assert "solver.prototxt:12" in err and "did you mean 'base_lr'?" in err


def test_a_missing_state_is_a_message(line, capsys):
    line()
    assert main(["train", "-solver", "solver.prototxt", "-snapshot", "none.solverstate"]) == 1
    assert "none.solverstate" in capsys.readouterr().err


def test_a_solver_for_a_gpu_names_the_cure_where_there_is_none(line, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    line(more="solver_mode: GPU\n")
    assert main(["train", "-solver", "solver.prototxt"]) == 1
    err = capsys.readouterr().err
    assert "solver.prototxt:12: the solver says solver_mode: GPU, but" in err and "--cpu" in err


def test_cpu_overrules_the_solver(line):
    line(more="solver_mode: GPU\n")
    assert main(["train", "-solver", "solver.prototxt", "--cpu"]) == 0


def start(folder, *more, **how) -> subprocess.Popen:
    program = [sys.executable, "-m", "layerforge", "train", "-solver", "solver.prototxt", *more]
    return subprocess.Popen(program, cwd=folder, **how)


def wait_for_training(folder, seconds=30):
    """Waits until the log tells of an iteration."""
    end, log = time.monotonic() + seconds, folder / "run.log"
    while not (log.exists() and "Iteration 5 (" in log.read_text()):
        assert time.monotonic() < end, "no iteration was logged"
        time.sleep(0.02)


@pytest.fixture
def endless(line):
    """A folder with a run that does not end by itself, and saves only when told."""
    folder = line()
    text = (folder / "solver.prototxt").read_text()
    for before, after in (("max_iter: 10", "max_iter: 100000000"), ("snapshot: 5", "snapshot: 50000000"),
                          ("test_interval: 5", "test_interval: 50000000")):
        text = text.replace(before, after)
    (folder / "solver.prototxt").write_text(text)
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_save_and_end_the_run(endless, number, code):
    process = start(endless, "--log", "run.log", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_training(endless)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    last = texts(err)[-1]
    assert last.startswith("To go on: layerforge train --solver solver.prototxt --snapshot line_iter_")
    assert os.path.exists(endless / last.split()[-1])


def on_a_terminal(folder, *more, act=lambda process: None) -> str:
    """What a run shows on a terminal; `act` may send it signals."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo terminals")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110"}
    process = start(folder, *more, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    act(process)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the other end is closed
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0, shown.decode()
    return shown.decode()


def test_on_a_terminal_a_bar_is_shown_and_lines_go_to_a_file(line):
    folder = line()
    shown = on_a_terminal(folder)
    logs = list(folder.glob("line_*.log"))
    assert len(logs) == 1 and f"log: {logs[0]}" in shown.replace("\r\n", "")
    assert "10/10" in shown and "saving line_iter_10.caffemodel" in shown and "test net 0: loss" in shown
    assert "Use CPU." not in shown and texts(logs[0].read_text())[-1] == "Optimization Done."


def test_on_a_terminal_ctrl_c_shows_how_to_go_on(endless):
    def interrupt(process):
        wait_for_training(endless)
        process.send_signal(signal.SIGINT)
    shown = on_a_terminal(endless, "--log", "run.log", act=interrupt)
    assert "To go on: layerforge train --solver solver.prototxt --snapshot line_iter_" in shown
