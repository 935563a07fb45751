"""test scores a net as Caffe does."""

from __future__ import annotations

import re

import pytest

from layerforge.cli.main import main


@pytest.fixture
def weights(line, capsys):
    line()
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    capsys.readouterr()
    return "line_iter_10.caffemodel"


def test_prints_every_batch_and_the_means(weights, capsys):
    assert main(["test", "-model", "net.prototxt", "-weights", weights, "-iterations", "3"]) == 0
    lines = [text.split("] ", 1)[1] for text in capsys.readouterr().err.splitlines()]
    batches = [float(text.split(" = ")[1]) for text in lines if re.match(r"Batch \d, loss = ", text)]
    assert len(batches) == 3 and lines[1] == "Running for 3 iterations."
    loss = next(float(text.removeprefix("Loss: ")) for text in lines if text.startswith("Loss: "))
    assert loss == pytest.approx(sum(batches) / 3, rel=1e-4)
    assert re.fullmatch(rf"loss = {loss:g} \(\* 1 = {loss:g} loss\)", lines[-1])


def test_the_weights_are_used(weights, line, capsys):
    assert main(["test", "-model", "net.prototxt", "-weights", weights, "-iterations", "20"]) == 0
    trained = float(capsys.readouterr().err.splitlines()[-1].split(" = ")[1].split()[0])
    assert trained < 0.45  # the untrained net has 0.5: half of the squared distance of 0 and 1


@pytest.mark.parametrize("argv", [["test"], ["test", "-model", "net.prototxt"], ["test", "-weights", "w"]])
def test_net_and_weights_are_needed(argv, capsys):
    assert main(argv) == 2
    assert "is missing" in capsys.readouterr().err


def test_missing_weights_are_a_message(line, capsys):
    line()
    assert main(["test", "-model", "net.prototxt", "-weights", "none.caffemodel"]) == 1
    assert "none.caffemodel" in capsys.readouterr().err


def test_a_foreign_file_is_a_message(line, capsys):
    folder = line()
    (folder / "picture.caffemodel").write_bytes(b"\x89PNG\r\n" * 10)
    assert main(["test", "-model", "net.prototxt", "-weights", "picture.caffemodel"]) == 1
    err = capsys.readouterr().err
    assert "picture.caffemodel" in err and "Traceback" not in err
