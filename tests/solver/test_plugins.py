"""Modules that a solver loads first."""

import sys

import numpy as np
import pytest
from tiny_solver import parameters

from layerforge.core.errors import DataError
from layerforge.solver.plugins import load_plugins
from layerforge.solver.rules import RULES

RULE = """
from layerforge.solver.rules import Rule, register

@register
class Downhill(Rule):
    name, histories = "Downhill", 0

    def update(self, ops, w, g, history, step):
        w -= step.lr * (g > 0)
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr("layerforge.solver.rules.RULES", dict(RULES))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize("given", ["downhill.py", "downhill"])
def test_a_plugin_brings_a_rule(make_solver, tmp_path, given):
    (tmp_path / "downhill.py").write_text(RULE)
    solver = make_solver(f'plugins: "{given}" type: "Downhill"')
    before = parameters(solver)
    solver.step(1)
    moves = np.concatenate([(a - b).ravel() for a, b in zip(before, parameters(solver))])
    assert set(np.round(moves, 5)) == {0.0, np.float32(0.1)} and solver.updater.history == []


def test_a_file_is_run_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "once.py").write_text("import sys\nsys.ran = getattr(sys, 'ran', 0) + 1\n")
    load_plugins(["once.py", "once.py"])
    assert sys.__dict__.pop("ran") == 1


@pytest.mark.parametrize("name", ["none.py", "no_such_module"])
def test_a_missing_plugin_names_the_places(name, tmp_path):
    with pytest.raises(DataError, match=f"plugin '{name}' is missing.*beside"):
        load_plugins([name], str(tmp_path / "beside"))


def test_errors_of_a_plugins_own_code_come_out_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there")
    for name in ("broken.py", "broken"):
        with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
            load_plugins([name])
