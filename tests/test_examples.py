"""The scripts of docs/examples run, one on the other's results, with the digits that ship with the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from layerforge.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
NET = ("zoo/digits/deploy.prototxt", "digits.caffemodel")
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the digits as databases and as pictures, and a net that `solve_digits.py` has trained there."""
    made = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "zoo" / "digits", made / "zoo" / "digits", ignore=shutil.ignore_patterns("*_lmdb"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert main(["dataset", "digits"]) == main(["dataset", "digits", "--pictures", "p"]) == 0
    (made / "printed.txt").write_text(script(made, "solve_digits", "zoo/digits/solver.prototxt", "120"))
    return made


def script(folder, name, *arguments):
    """What the script prints under `layerforge run`."""
    return run(folder, "-m", "layerforge", "run", str(EXAMPLES / f"{name}.py"), *arguments)


def run(folder, *command):
    """What Python prints with these arguments in the folder."""
    done = subprocess.run([sys.executable, *command], cwd=folder, check=False, capture_output=True, text=True,
                          timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "1"})
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def pictures(folder, count):
    """(file, label) of test pictures."""
    lines = (folder / "p" / "test.txt").read_text().splitlines()[:: 359 // count][:count]
    return [(f"p/{name}", label) for name, label in (line.split() for line in lines)]


def test_a_loop_of_ones_own_learns_the_digits(folder):
    printed = (folder / "printed.txt").read_text()
    accuracy = [float(a) for a in re.findall(r"accuracy ([\d.]+)", printed)]
    losses = [float(a) for a in re.findall(r"loss ([\d.]+)", printed)]
    assert re.findall(r"iteration (\d+):", printed) == ["50", "100", "120"]
    assert accuracy[-1] > 0.85 and losses[-1] < losses[0] and (folder / "digits.caffemodel").exists()
    assert float(re.search(r"moved by ([\d.]+)", printed)[1]) > 0


def test_pictures_are_classified(folder):
    chosen = pictures(folder, 20)
    printed = script(folder, "classify_digit", *NET, *(name for name, _ in chosen))
    found = dict(re.findall(r"^(\S+): (\d)", printed, re.M))
    assert sum(found[name] == label for name, label in chosen) >= 16


def test_surgery_keeps_the_numbers_and_reads_a_row(folder):
    chosen = pictures(folder, 8)
    printed = script(folder, "net_surgery", *NET, *(name for name, _ in chosen))
    assert "ip1 (128, 1024) is ip1-conv (128, 64, 4, 4) now" in printed
    assert float(re.search("difference on one digit: (.*)", printed)[1]) < 1e-4
    assert "a row of 64 pixels gives 29 answers" in printed
    read = re.search("places: (.*)", printed)[1].split()
    assert sum(k == label for k, (_, label) in zip(read, chosen)) >= 5 and len(read) == 8


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.S | re.M)


def test_the_commands_of_scripting_run(folder):
    lines = [line for block in blocks("scripting.md", "sh") for line in block.splitlines()]
    fresh = [line for line in lines if "dataset" not in line and "solve_digits" not in line]
    assert len(lines) == 5 and len(fresh) == 2  # the others have made the folder
    for line in fresh:
        assert "conv" in run(folder, "-m", *line.replace("docs/examples", str(EXAMPLES)).split())


@pytest.mark.parametrize("part", range(3))
def test_the_python_of_scripting_runs(folder, part):
    run(folder, "-c", blocks("scripting.md", "python")[part])


GATED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "g" type: "Gate" bottom: "x" top: "g" gate_param { beta: 0.5 } }
layer { name: "s" type: "Softsquare" bottom: "g" top: "s" }
"""


def test_the_layers_of_custom_layers_are_right(tmp_path):
    losses, gates, more = blocks("custom_layers.md", "python")
    for text in (losses, gates, more):
        (tmp_path / re.match(r"# (\w+\.py)", text)[1]).write_text(text)
    (tmp_path / "gated.prototxt").write_text(GATED)
    lines = [line for block in blocks("custom_layers.md", "sh") for line in block.splitlines()]
    printed = [run(tmp_path, "-m", *line.split()) for line in lines]
    assert "Gate: ok" in printed[0] and "Softsquare: ok" in printed[0] and "gate_param" in printed[1]
    assert "EuclideanLoss: ok" in run(tmp_path, "-m", "layerforge", "check", "losses.py")
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "d" type: "Squares" top: "i" top: "sq" squares_param { batch_size: 8 } }
        layer { name: "r" type: "Reshape" bottom: "i" top: "x" reshape_param { shape { dim: 0 dim: 1 } } }
        layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
                inner_product_param { num_output: 1 weight_filler { type: "stairs" std: 0.1 } } }
        layer { name: "f" type: "Flatten" bottom: "y" top: "f" flatten_param { axis: 0 } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "f" bottom: "sq" top: "loss" }""")
    (tmp_path / "solver.prototxt").write_text("""net: "net.prototxt" type: "SignSGD" lr_policy: "halving" base_lr: 0.5
        max_iter: 3 snapshot_after_train: false snapshot_prefix: "a" plugins: "more.py" """)
    run(tmp_path, "-m", "layerforge", "train", "--solver", "solver.prototxt")
