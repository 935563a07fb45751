"""--compute_type of train, test and time."""

from __future__ import annotations

import pytest

from layerforge.cli.main import main

COMMANDS = {
    "train": ["train", "--solver", "solver.prototxt"],
    "test": ["test", "--model", "net.prototxt", "--weights", "none.caffemodel"],
    "time of a net": ["time", "--model", "net.prototxt", "--iterations", "1"],
    "time of a solver": ["time", "--solver", "solver.prototxt", "--iterations", "1"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_type_that_the_cpu_lacks_is_refused_before_anything_runs(name, line, capsys):
    assert main([*COMMANDS[name], "--compute_type", "FP16"]) == 1
    assert "compute_type: FP16 is for GPUs, the CPU has FP32 and BF16" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "time of a net", "time of a solver"])
def test_the_flag_wins_over_the_texts(name, line, capsys):
    folder = line(more="compute_type: TF32\n")
    path = folder / "net.prototxt"
    path.write_text(f"compute_type: FP16 {path.read_text()}")
    assert main(COMMANDS[name]) == 1
    assert "net.prototxt:1: compute_type: FP16 is for GPUs" in capsys.readouterr().err
    assert main([*COMMANDS[name], "--compute_type", "FP32"]) == 0


@pytest.mark.parametrize("command", ["train", "time of a solver"])
def test_a_solvers_type_is_refused_with_its_place_and_reason(command, line, capsys):
    text = (line(more="compute_type: TF32\n") / "solver.prototxt").read_text()
    number = 1 + text[: text.index("compute_type")].count("\n")
    assert main(COMMANDS[command]) == 1
    assert f"solver.prototxt:{number}: compute_type: TF32 is for GPUs" in capsys.readouterr().err


def test_a_word_that_is_no_type_is_a_wrong_command_line(line, capsys):
    assert main([*COMMANDS["train"], "--compute_type", "BF61"]) == 2
    assert "--compute_type takes FP32, TF32, BF16, FP16" in capsys.readouterr().err
