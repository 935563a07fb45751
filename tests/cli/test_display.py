"""The live display of training."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from layerforge.cli.display import WINDOW_SECONDS, Display, Rate, duration
from layerforge.net.build import build_net
from layerforge.schema.read import parse_net
from layerforge.solver.observer import Output, Report, TestReport


def run(images: int) -> SimpleNamespace:
    """What the display asks of a solver: here a net that makes one number, or `images` of them."""
    shape = f"shape {{ dim: {images} }}" if images else "shape { }"
    net = build_net(parse_net(f'layer {{ name: "x" type: "Input" top: "x" input_param {{ {shape} }} }}'))
    return SimpleNamespace(net=net, iter=0, params=SimpleNamespace(iter_size=1, max_iter=100))


def shown(images: int, *events) -> str:
    """What a terminal gets of a short run."""
    stream = io.StringIO()
    with Display(Console(file=stream, force_terminal=True, width=110)) as display:
        display.on_start(run(images))
        clock = iter(range(100))
        display.rate = Rate(lambda: next(clock))
        display.on_iteration(Report(9, 100, 2.3026, 2.3, 0.01))
        for event in events:
            event(display)
        display.on_iteration(Report(19, 100, 1.25, 1.2, 0.005))
    return stream.getvalue()


def test_shows_progress_loss_rate_and_time_left():
    out = shown(64)
    for part in ("20/100", "loss 1.25", "lr 0.005", "640 images/s", "0:08 left"):
        assert part in out


def test_without_a_batch_size_the_rate_is_in_iterations():
    assert "10.0 it/s" in shown(0)


def test_tests_stay_above_the_bar():
    report = TestReport(10, 0, [Output(0, "accuracy", 0.98765), Output(1, "loss", 0.05, 1.0)], None, 1.0)
    out = shown(64, lambda display: display.on_test(report))
    assert "iteration 10, test net 0: accuracy 0.9877, loss 0.05\n" in out


def test_many_outputs_of_a_test_are_cut():
    report = TestReport(10, 0, [Output(k, "prob", 0.5) for k in range(1000)], None, 1.0)
    assert "and 996 more" in shown(64, lambda display: display.on_test(report))


def test_names_of_files_are_shown_as_they_are():
    out = shown(64, lambda display: display.on_snapshot("run[bold]_iter_10.caffemodel", "weights", "BINARYPROTO"))
    assert "saving run[bold]_iter_10.caffemodel\n" in out


def test_the_rate_is_that_of_the_last_seconds():
    moments = iter([0.0, 100.0, 100.0 + WINDOW_SECONDS])
    rate = Rate(lambda: next(moments))
    for done in (0, 10, 110):
        rate.update(done)
    assert rate.per_second == pytest.approx(100 / WINDOW_SECONDS)


def test_the_rate_is_unknown_at_first():
    rate = Rate(lambda: 1.0)
    assert rate.per_second == 0.0
    rate.update(5)
    rate.update(6)
    assert rate.per_second == 0.0


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0:00"), (42.4, "0:42"), (723, "12:03"), (11100, "3:05:00"), (-1, "0:00")])
def test_durations_read_as_a_clock(seconds, text):
    assert duration(seconds) == text
