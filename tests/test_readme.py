"""Every command and every piece of Python in README.md, docs/ and the zoo's pages is run.

The commands run in order in a scratch copy of zoo/, page by page, with two changes that the size of a test asks for:
solvers stop after a few iterations (the names of their weights change with that), and MNIST is a handful of made-up
pictures. `layerforge` is called here rather than in a process of its own, whose start takes longer than most commands
(test_packaging.py starts the installed one); programs of the zoo get theirs. `make` is not run, since it would make an
environment; its targets are held against the Makefile, and for `make demo` the command that stands there is run.
"""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from layerforge.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "zoo").glob("*/README.md"))]
ITERATIONS = 4


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks."""
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line and not line.startswith("#")]


ELSEWHERE = {"data.md", "scripting.md", "custom_layers.md"}  # test_walkthrough.py and test_examples.py run these
WITH_COMMANDS = [page for page in PAGES if commands(page) and page.name not in ELSEWHERE]


def idx(path: Path, values: np.ndarray) -> None:
    """An IDX file of bytes, as MNIST has them."""
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.fixture
def scratch(tmp_path):
    """A folder with the zoo in it, and small files in MNIST's form."""
    shutil.copytree(ROOT / "zoo", tmp_path / "zoo", ignore=shutil.ignore_patterns("__pycache__", "*_lmdb"))
    rng = np.random.default_rng(0)
    for name in ("bad", "good"):
        (tmp_path / f"{name}.txt").write_text("".join(f"a {name} film, number {i}\n" for i in range(20)))
    (tmp_path / "mnist").mkdir()
    for part, count in (("train", 64), ("t10k", 100)):
        idx(tmp_path / "mnist" / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        idx(tmp_path / "mnist" / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, count))
    return tmp_path


def shorten_solvers(folder: Path) -> None:
    for solver in folder.rglob("solver.prototxt"):
        text = solver.read_text()
        for field, value in {"max_iter": ITERATIONS, "snapshot": 2, "test_iter": 1, "test_interval": 2}.items():
            text = re.sub(rf"^{field}: \d+", f"{field}: {value}", text, flags=re.M)
        solver.write_text(text)


def shortened(line: str) -> str:
    """The line with the changes that the docstring above speaks of."""
    if line == "make demo":
        line = re.search(r"^demo:.*\n\t\$\(BIN\)/(layerforge demo .*)", (ROOT / "Makefile").read_text(), re.M)[1]
    line = line.removeprefix(".venv/bin/")
    line = re.sub("iter_(300|1500|2000|6000|10000)", f"iter_{ITERATIONS}", line).replace("iter_5000", "iter_2")
    line = line.replace("--iterations 4000", "--iterations 4")
    line = line.replace("--iterations 100", "--iterations 1").replace("--from FOLDER", "--from mnist")
    line = re.sub(r"dataset mnist$", "dataset mnist --from mnist", line)
    return line + " --iterations 4" if line.startswith("layerforge demo") else line


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_the_page_run(page, scratch, monkeypatch, capfd):
    monkeypatch.chdir(scratch)
    for line in commands(page):
        command = shortened(line)
        if command.startswith("make"):
            continue
        assert command.startswith(("layerforge ", "python ")), f"{page.name}: the test cannot run {line!r}"
        shorten_solvers(scratch)
        words = shlex.split(command)
        if words[0] == "layerforge":
            code = main(words[1:])
        else:
            code = subprocess.run([sys.executable, *words[1:]], check=False, cwd=scratch, stdin=subprocess.DEVNULL,
                                  timeout=120).returncode
        assert code == 0, f"{line}\n{''.join(capfd.readouterr())}"


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_of_make_exist(page):
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    for line in commands(page):
        if line.startswith("make"):
            words = line.partition("#")[0].split()[1:]
            assert {word for word in words if "=" not in word} <= set(targets), line


def test_the_command_line_is_described_in_full():
    text = (ROOT / "docs" / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"`{name}`" not in text and f"\n## {name}\n" not in text] == []


def test_readme_has_commands_and_python():
    assert len(commands(ROOT / "README.md")) >= 10 and len(blocks(ROOT / "README.md", "python")) == 1


def test_the_layer_of_the_readme_is_a_layer(tmp_path):
    (tmp_path / "swish.py").write_text(blocks(ROOT / "README.md", "python")[0])
    (tmp_path / "net.prototxt").write_text("""
        force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "y" type: "Python" bottom: "x" top: "y" python_param { module: "swish" layer: "Swish" } }""")
    (tmp_path / "use.py").write_text("""
import layerforge as caffe
import numpy as np
net = caffe.Net("net.prototxt", caffe.TEST)
x = np.linspace(-3, 3, 6).reshape(2, 3)
net.blobs["x"].data[...] = x
y = net.forward()["y"]
np.testing.assert_allclose(y, x / (1 + np.exp(-x)), rtol=1e-5)
net.blobs["y"].diff[...] = 1
net.backward()
s = 1 / (1 + np.exp(-x))
np.testing.assert_allclose(net.blobs["x"].diff, s + x * s * (1 - s), rtol=1e-5)
""")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "use.py"], check=False, cwd=tmp_path, env=environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_folders_that_the_readme_names_exist():
    for name in re.findall(r"^\| `([a-z/]+/)`", (ROOT / "README.md").read_text(), re.M):
        assert (ROOT / name).is_dir(), name


def test_the_menu_lists_every_target():
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    menu = subprocess.run(["make", "-s"], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert [line.split()[0] for line in menu.splitlines()[1:]] == phony


def test_continuous_integration_runs_the_readmes_test_command():
    assert "make test" in commands(ROOT / "README.md")
    assert "exec make test < /dev/null" in (ROOT / ".ci" / "run").read_text()
