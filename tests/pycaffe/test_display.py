"""What a notebook shows of nets and solvers."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from layerforge.core.errors import DeviceError
from layerforge.pycaffe import display
from layerforge.solver.observer import Report


def test_a_net_shows_its_layers_with_shapes(small):
    made = small._repr_svg_()
    assert made.startswith("<svg") and ">conv<" in made and re.search("4 ?× ?6 ?× ?6", made)
    assert repr(small) == "<Net 'small': 7 layers, data label → loss>"


def test_a_solver_shows_progress_and_curves(make_solver):
    solver = make_solver("test_iter: 1 test_interval: 2")
    assert "iteration 0 of 6" in solver._repr_html_() and "<svg" not in solver._repr_html_()
    solver.step(4)
    made = solver._repr_html_()
    assert "SGD solver of small" in made and "iteration 4 of 6" in made and "learning rate 0.1" in made
    assert "width:66.7%" in made and "<svg" in made and "test net 0: loss" in made
    assert repr(solver) == "<SGD solver of 'small' at iteration 4>"


def test_names_are_escaped(make_solver, small):
    solver = make_solver()
    solver._solver.net.name = "<script>"
    assert "<script>" not in solver._repr_html_() and "&lt;script&gt;" in solver._repr_html_()


def test_without_the_packages_that_draw_words_remain(make_solver, monkeypatch):
    def missing(*_, **__):
        raise DeviceError("pictures need a package")

    solver = make_solver()
    solver.step(3)
    monkeypatch.setattr(display, "draw_curves", missing)
    monkeypatch.setattr(display, "net_svg", missing)
    assert "iteration 3 of 6" in solver._repr_html_() and "<svg" not in solver._repr_html_()
    assert solver.net._repr_svg_() is None


def test_long_runs_are_thinned_out():
    history = display.History()
    for i in range(10 * display.MOST):
        history.iteration(Report(i, 0, 0.0, float(i), 0.1))
    assert display.MOST / 2 <= len(history.losses) <= display.MOST and history.losses[-1][0] > 9.9 * display.MOST


@pytest.mark.parametrize("module", ["matplotlib", "pygraphviz", "resvg_py"])
def test_drawing_packages_load_when_something_is_drawn(module):

    code = f"import sys, layerforge; layerforge.Net; print({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
    assert importlib.util.find_spec(module)
