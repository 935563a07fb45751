"""`layerforge run`: a script is run as Python runs it, and `import caffe` finds this package."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

import numpy as np
import pytest

from layerforge.cli import flags
from layerforge.cli.main import load, main
from layerforge.cli.run import ASSERTIONS, SCALARS, _give_back_old_names


@pytest.fixture
def launch(tmp_path):
    """Runs `layerforge run …` in a process of its own, in a scratch folder; `scripts` are the files there."""

    def start(*arguments, cwd=tmp_path, stdin=None, **scripts):
        for name, text in scripts.items():
            (tmp_path / f"{name}.py").write_text(text)
        return subprocess.run([sys.executable, "-m", "layerforge", "run", *arguments], check=False, cwd=cwd,
                              capture_output=True, text=True, timeout=60, input=stdin)

    return start


IMPORTS = """
import caffe, caffe.io, caffe.proto, caffe.coord_map
import caffe.proto.caffe_pb2 as pb
from caffe import layers as L, params as P, Net, SGDSolver
from caffe.proto import caffe_pb2
from caffe.pycaffe import Net as same
from caffe._caffe import SGDSolver
import layerforge
assert same is Net is layerforge.Net and caffe_pb2 is pb and caffe.io.load_image and caffe.__version__
assert P.Pooling.MAX == pb.PoolingParameter.MAX and "type: \\"ReLU\\"" in str(caffe.to_proto(L.ReLU()))
print("all there")
"""


def test_import_caffe_finds_every_module(launch):
    done = launch("script.py", script=IMPORTS)
    assert done.stdout == "all there\n", done.stderr


def test_everything_behind_the_script_goes_to_it(launch):
    given = ["--gpu", "0", "-m", "--help", "--", "--threads=3", "x"]
    done = launch("script.py", *given, script="import sys; print(sys.argv)")
    assert done.stdout == f"{['script.py', *given]}\n"


def test_everything_behind_a_module_goes_to_it(launch):
    text = "import sys; print(sys.argv[1:], sys.argv[0].endswith('tool.py'), sys.path[0], __name__)"
    done = launch("-m", "tool", "-m", "--version", tool=text)
    folder = os.path.dirname(done.args[0]) and done.stdout.split()[3]
    assert done.stdout.startswith("['-m', '--version'] True") and done.stdout.endswith(" __main__\n"), done.stderr
    assert os.path.isabs(folder)


def test_a_script_is_main_and_its_folder_comes_first(launch, tmp_path):
    text = "import sys, os, beside, __main__; print(__name__, __file__, sys.path[0], __main__.__dict__ is globals())"
    (tmp_path / "elsewhere").mkdir()
    done = launch("../script.py", cwd=tmp_path / "elsewhere", script=text, beside="")
    assert done.stdout.split() == ["__main__", "../script.py", str(tmp_path.resolve()), "True"], done.stderr


@pytest.mark.parametrize("last, code, err", [
    ("sys.exit(7)", 7, ""), ("sys.exit('told')", 1, "told\n"), ("sys.exit()", 0, ""), ("", 0, "")])
def test_exit_codes_pass_through(launch, last, code, err):
    done = launch("script.py", script=f"import sys\n{last}\n")
    assert (done.returncode, done.stderr) == (code, err)


def test_an_error_of_the_script_shows_the_scripts_frames_alone(launch):
    done = launch("script.py", script="def f():\n    raise KeyError('lost')\nf()\n")
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[-1] == "KeyError: 'lost'"
    assert [line.split('"')[1] for line in lines if "File" in line] == ["script.py", "script.py"]


def test_a_script_of_python_2_is_told_its_line(launch):
    done = launch("script.py", script="print 'old'\n")
    assert done.returncode == 1 and done.stderr.splitlines()[0].strip() == 'File "script.py", line 1'


def test_a_process_that_the_script_starts_finds_caffe_too(launch):
    started = "import caffe, caffe.io; print(caffe.Net)"
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{started}'], check=True)"
    assert launch("script.py", script=text).stdout == "<class 'layerforge.pycaffe.net.Net'>\n"


def test_workers_of_a_script_find_caffe_however_they_start(launch):
    text = """
import multiprocessing
import caffe

def work(queue):
    queue.put(caffe.TRAIN == 0)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    worker = context.Process(target=work, args=(queue,))
    worker.start()
    worker.join()
    print(worker.exitcode, queue.get() if worker.exitcode == 0 else None)
"""
    done = launch("script.py", script=text)
    assert done.stdout == "0 True\n", done.stderr


def test_a_missing_script_is_named_with_its_place(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "none.py"]) == 1
    assert f"script 'none.py' is missing: there is no '{tmp_path / 'none.py'}'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["run"], ["run", "-m"]])
def test_a_script_must_be_named(arguments, capsys):
    assert main(arguments) == 2
    assert "needs" in capsys.readouterr().err


def test_flags_before_the_script_are_the_programs_own():
    commands = load()
    known = {"threads": flags.Flag("threads", int), "help": flags.Flag("help", bool)}
    assert flags.parse(["run", "--help"], known, commands) == ({"help": True}, ["run"])
    assert flags.parse(["--threads", "2", "run", "a.py", "--help"], known, commands) == (
        {"threads": 2},
        ["run", "a.py", "--help"],
    )


def test_names_that_unittest_and_numpy_dropped_exist(monkeypatch):
    for old in ASSERTIONS:
        if hasattr(unittest.TestCase, old):
            continue
        monkeypatch.setattr(unittest.TestCase, old, None, raising=False)
        monkeypatch.delattr(unittest.TestCase, old)
    kept = {name: vars(np).get(name) for name in SCALARS}
    _give_back_old_names()
    try:
        case = unittest.TestCase()
        case.assertEquals(1, 1)
        case.assertItemsEqual([1, 2], [2, 1])
        assert np.float is float
    finally:
        for name, value in kept.items():
            if value is None:
                delattr(np, name)
