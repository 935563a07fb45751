"""The notebooks of docs/notebooks run from top to bottom, and show what their texts say."""

from __future__ import annotations

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

from layerforge.cli.main import main

NOTEBOOKS = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the digits as databases and as pictures."""
    made = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert main(["dataset", "digits"]) == main(["dataset", "digits", "--pictures", "pictures"]) == 0
    return made


@pytest.fixture
def execute(folder, monkeypatch):
    """Runs a notebook; gives what it prints, and what it shows by kind."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))

    def run(name):
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        printed = "".join(output.text for output in outputs if output.output_type == "stream")
        shown = {}
        for output in outputs:
            for kind, data in output.get("data", {}).items():
                shown.setdefault(kind, []).append(data)
        return printed, shown

    return run


def test_notebooks_are_kept_without_results():
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name


def test_lenet_learns_and_shows_itself(execute):
    printed, shown = execute("lenet")
    assert float(re.search(r"accuracy ([\d.]+)", printed)[1]) > 0.85
    assert "conv1: (20, 1, 5, 5)" in printed
    assert ">conv1<" in shown["image/svg+xml"][0] and "iteration 60 of 60" in shown["text/html"][0]


def test_fine_tuning_keeps_weights_and_wins(execute):
    printed, shown = execute("fine_tuning")
    digits = float(re.search(r"ten digits: ([\d.]+)", printed)[1])
    tuned, fresh = re.search(r"fine-tuned ([\d.]+)\nfrom nothing ([\d.]+)", printed).groups()
    assert digits > 0.85 and float(tuned) > float(fresh) > 0.5
    assert shown["text/plain"][-1] == "True" and "iteration 200 of 200" in shown["text/html"][0]


def test_a_layer_of_ones_own_is_right_and_learns(execute):
    printed, shown = execute("custom_layer")
    a, b = re.search(r"a = (-?[\d.]+), b = (-?[\d.]+)", printed).groups()
    assert "Bend: ok (7 checks" in printed
    assert float(a) == pytest.approx(0.5, abs=0.02) and float(b) == pytest.approx(2, abs=0.02)
    assert ">y<" in shown["image/svg+xml"][0] and "iteration 200 of 200" in shown["text/html"][0]
