"""`layerforge plot` finds the curves of a log."""

from __future__ import annotations

import pytest

from layerforge.cli.main import main
from layerforge.cli.plot import panels_of
from layerforge.solver.log_reader import parse_log

LOG = """\
I1120 10:00:00.000000     1 solver.cpp:57] Solving LeNet
I1120 10:00:00.000000     1 solver.cpp:347] Iteration 0, Testing net (#0)
I1120 10:00:01.000000     1 solver.cpp:414]     Test net output #0: accuracy = 0.1
I1120 10:00:01.000000     1 solver.cpp:414]     Test net output #1: loss = 2.3 (* 1 = 2.3 loss)
I1120 10:00:02.000000     1 solver.cpp:239] Iteration 0 (0 iter/s, 0s/100 iters), loss = 2.4
I1120 10:00:02.000000     1 solver.cpp:258]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I1120 10:00:02.000000     1 sgd_solver.cpp:112] Iteration 0, lr = 0.01
I1120 10:00:09.000000     1 solver.cpp:239] Iteration 100 (14 iter/s, 7s/100 iters), loss = 0.4
I1120 10:00:09.000000     1 solver.cpp:258]     Train net output #0: loss = 0.5 (* 1 = 0.5 loss)
I1120 10:00:09.000000     1 sgd_solver.cpp:112] Iteration 100, lr = 0.001
I1120 10:00:09.000000     1 solver.cpp:347] Iteration 100, Testing net (#0)
I1120 10:00:10.000000     1 solver.cpp:414]     Test net output #0: accuracy = 0.9
I1120 10:00:10.000000     1 solver.cpp:414]     Test net output #1: loss = 0.3 (* 1 = 0.3 loss)
"""


def panels(text=LOG, **options):
    return {panel.title: panel.curves for panel in panels_of({"a": parse_log(text.splitlines(), 2020)}, **options)}


def test_losses_accuracies_and_rates_have_a_panel_each():
    assert {title: [curve.label for curve in curves] for title, curves in panels().items()} == {
        "Loss": ["train loss", "test loss"], "Accuracy": ["test accuracy"], "Learning rate": ["learning rate"]}


def test_values_stand_over_iterations():
    train, test = panels()["Loss"]
    assert (list(train.xs), list(train.ys)) == ([0, 100], [2.5, 0.5])
    assert (list(test.xs), list(test.ys)) == ([0, 100], [2.3, 0.3])


def test_values_stand_over_seconds():
    assert list(panels(seconds=True)["Accuracy"][0].xs) == [1, 10]


def test_the_smoothed_loss_stands_in_where_the_train_net_has_no_outputs():
    without = "\n".join(line for line in LOG.splitlines() if "Train net" not in line)
    assert list(panels(without)["Loss"][0].ys) == [2.4, 0.4]


def test_test_nets_are_told_apart():
    second = LOG.replace("(#0)", "(#1)").replace("0.9", "0.8").split("Solving LeNet\n")[1]
    curves = panels(LOG + second)["Accuracy"]
    assert [curve.label for curve in curves] == ["test #0 accuracy", "test #1 accuracy"]


def test_other_outputs_have_their_own_panel():
    assert "gradient_norm" in panels(LOG.replace("accuracy", "gradient_norm"))


def test_logs_are_compared_in_one_picture(tmp_path, capsys):
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text(LOG)
    out = tmp_path / "both.svg"
    assert main(["plot", str(tmp_path / "a.log"), "--more", str(tmp_path / "b.log"), "--out", str(out)]) == 0
    assert "b.log: test accuracy" in out.read_text()
    assert "loss, accuracy, learning rate" in capsys.readouterr().out


@pytest.mark.parametrize(("rates", "steps"), [
    ([0.1] * 5 + [0.01] * 5, True), ([0.1 - 0.01 * i for i in range(9)], False)])
def test_a_rate_that_rarely_changes_is_drawn_in_steps(rates, steps):
    lines = ["I1120 10:00:00.000000     1 solver.cpp:57] Solving LeNet"]
    for i, rate in enumerate(rates):
        stamp = f"I1120 10:00:{i:02}.000000     1 sgd_solver.cpp:112]"
        lines += [f"{stamp}     Train net output #0: loss = 1", f"{stamp} Iteration {i}, lr = {rate:g}"]
        lines[-2:] = [f"{stamp} Iteration {i}, loss = 1", *lines[-2:]]
    assert panels("\n".join(lines))["Learning rate"][0].steps is steps


@pytest.mark.parametrize("text", ["", "hello\n"])
def test_a_file_that_is_no_log_is_an_error(text, tmp_path, capsys):
    (tmp_path / "a.log").write_text(text)
    assert main(["plot", str(tmp_path / "a.log"), "--out", str(tmp_path / "a.png")]) == 1
    assert "tells of no iteration" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
