"""The scripts that only a GPU can run are proven without one, on the stand-in: `make gpu` and `make bench-gpu`."""

import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cpu_kernels import needs_compiler
from gpu import bench_gpu
from gpu.bench_gpu import (
    AIMS,
    BEGIN,
    BEST,
    COMPILED,
    END,
    GRAPH,
    MEMORY,
    OURS,
    PAGE,
    Bench,
    Row,
    page,
    rows,
    schedule,
    table,
)

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def run(*command, timeout=300, **environment):
    """As from a checkout where nothing is installed and no other process helps."""
    found = {**PLAIN, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=found, capture_output=True, text=True, check=False,
                          timeout=timeout)


def pytest_on_stand_in(*arguments, seconds="200"):
    plugins = ["-p", "no:xdist", "-p", "no:cacheprovider", "-p", "time_limit", "--seconds", seconds]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return run("-m", "pytest", *plugins, "-m", "gpu", "-rs", *arguments, PYTHONPATH=paths, LAYERFORGE_GPU="stand-in")


@pytest.mark.slow
def test_device_tests_run_on_the_stand_in_whole():
    needs_compiler()
    done = pytest_on_stand_in("tests/gpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout or "100%" in done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED") and "lmdb" not in line]
    assert not skipped, skipped


def test_kernel_tests_find_the_device_too():
    needs_compiler()
    done = pytest_on_stand_in("tests/backends/cupy/test_softmax.py", "tests/backends/cupy/test_layers_on_stand_in.py",
                              "-k", "softmax or swish or Swish")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED" not in done.stdout, done.stdout


def test_time_limit_says_what_did_not_run(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_one(): assert 1 == 2\ndef test_two(): pass\n")
    plugins = ["-p", "no:xdist", "-p", "no:cacheprovider", "-p", "time_limit"]
    paths = {"PYTHONPATH": str(ROOT / "tests")}
    failing = run("-m", "pytest", *plugins, str(tmp_path), **paths)
    assert re.search(r"FAILED .*test_one: .*", failing.stdout) and "did not run" not in failing.stdout
    late = run("-m", "pytest", *plugins, "--seconds", "-1", str(tmp_path), **paths)
    assert late.returncode == 1 and "2 tests did not run: the -1 seconds were over" in late.stdout


def test_makefile_runs_what_is_proven_here():
    text = (ROOT / "Makefile").read_text()
    assert re.search(r"^gpu:.*\n.*-p time_limit .*-m gpu .*\\\n.*tests/gpu/test_on_device.py ", text, re.M)
    mark = "\npytestmark = pytest.mark.gpu\n"
    files = {path.name for path in (ROOT / "tests" / "gpu").glob("test_*.py") if mark in path.read_text()}
    assert "test_cudnn_on_device.py" in files and files <= set(re.findall(r"tests/gpu/(\w+\.py)", text))
    assert re.search(r"^bench-gpu:.*\n.*python tests/gpu/bench_gpu.py", text, re.M)


@pytest.fixture
def lines():
    return []


def test_worker_without_a_gpu_says_why():
    done = run("tests/gpu/worker.py", OURS, "resnet50", "train", "256", "BF16", CUDA_VISIBLE_DEVICES="")
    assert json.loads(done.stdout.strip().splitlines()[-1])["missing"]


def test_benchmark_without_a_gpu_ends_with_the_reason():
    done = run("tests/gpu/bench_gpu.py", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1 and "there is no GPU to use: " in done.stdout


@pytest.mark.slow
def test_benchmark_runs_on_the_stand_in_from_a_checkout(tmp_path):
    needs_compiler()
    log = tmp_path / "log"
    command = "tests/gpu/bench_gpu.py", "--nets", "lenet", "--kinds", "BF16", "--log", str(log)
    done = run(*command, LAYERFORGE_GPU="stand-in")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"train +LeNet, 64, BF16 +layerforge +[\d,]+ images/s", done.stdout)
    answers = [json.loads(line) for line in log.read_text().splitlines()]
    systems = (OURS, GRAPH, COMPILED)
    assert {(each["system"], each["mode"]) for each in answers} == set(itertools.product(systems, ("train", "test")))
    with_torch = importlib.util.find_spec("torch") is not None
    for each in answers:
        assert each.get("ms", 0) > 0 or each["system"] != OURS and not with_torch, (each, done.stderr)
        assert each["system"] != OURS or each["moved"] > 0 and not each["note"], each


def bench_of(lines, answers, seconds=100.0):
    """A bench whose workers answer at once."""
    made = Bench(seconds, lines.append)
    made.ask = lambda *arguments: answers(*arguments)
    return made


def answer(*arguments):
    if arguments == ("machine",):
        return {"name": "H200", "bandwidth": 4e12}
    system, net, mode, batch, kind = arguments
    if net == "vgg16" and system == OURS:
        return {"missing": "RuntimeError: broken"}
    ms = {OURS: 10.0, GRAPH: 15.0, COMPILED: 13.0}[system]
    return {"ms": ms, "mib": 100.0 if system == OURS else 200.0, "moved": 2 * 10**10, "note": "", "setup": 1.0}


def test_table_compares_with_pytorchs_best(lines):
    wanted = rows(("resnet50", "vgg16"), ("BF16",))
    bench = bench_of(lines, answer)
    bench.run(wanted)
    cells = dict(zip(table(bench, wanted).heads[1:], table(bench, wanted).rows["ResNet-50, 256, BF16"]))
    assert (cells["LayerForge images/s"], cells[BEST], cells[MEMORY]) == ("25,600", "1.30", "0.50")
    assert cells["of the bandwidth"] == "50%" and cells["compiled ms"] == "13.000"


def test_net_that_fails_is_a_line_and_the_others_go_on(lines):
    wanted = rows(("vgg16", "resnet50"), ("BF16",))
    bench = bench_of(lines, answer)
    bench.run(wanted)
    assert any("RuntimeError: broken" in line for line in lines)
    assert "ResNet-50, 256, BF16" in table(bench, wanted).rows
    assert any("broken" in note for note in table(bench, wanted).notes)


def test_without_time_the_last_things_are_left_out(lines):
    wanted = rows(("resnet50",), ("BF16",))
    bench = bench_of(lines, answer, seconds=bench_gpu.LEAST_SECONDS - 1)
    bench.run(wanted)
    assert {found["missing"] for found in bench.results.values()} == {"no time left"}


def test_process_that_hangs_is_ended(lines, monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(bench_gpu, "WORKER", tmp_path / "worker.py")
    monkeypatch.setattr(bench_gpu, "MOST_SECONDS", 0.2)
    assert Bench(100, lines.append).ask("x")["missing"] == "took more than 1 s"


def test_process_that_dies_is_said_with_its_last_words(lines, monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text("import os\nos.write(2, b'last words')\nos.abort()\n")
    monkeypatch.setattr(bench_gpu, "WORKER", tmp_path / "worker.py")
    assert Bench(100, lines.append).ask("x")["missing"].startswith("ended with -6")
    assert "last words" in lines[0]


def test_tables_stand_between_the_marks(lines):
    wanted = rows(("resnet50",), ("BF16",))
    bench = bench_of(lines, answer)
    bench.run(wanted)
    text = page(f"before\n{BEGIN}\nold\n{END}\nbehind\n", bench, wanted)
    assert text.startswith("before\n") and text.endswith("behind\n") and "old" not in text
    assert "H200; a copy moves 4.00 TB/s." in text and "| ResNet-50, 256, BF16 | 25,600 |" in text
    assert "Aims that are missed: ResNet-50, 1, BF16: best ÷ 1.30, to be at least 1.5." in text
    with pytest.raises(ValueError, match="needs the lines"):
        page("nothing", bench, wanted)


def test_what_there_is_an_aim_for_is_measured_first():
    wanted = rows(("resnet50", "vgg16", "alexnet"), ("BF16", "FP32"))
    order = schedule(wanted)
    assert len(order) == len(set(order)) == 3 * len(wanted)
    assert order[:2] == [(Row("resnet50", "train", 256, "BF16"), OURS), (Row("resnet50", "train", 256, "BF16"), GRAPH)]
    place = {each: i for i, each in enumerate(order)}
    assert place[Row("vgg16", "train", 256, "BF16"), COMPILED] < place[Row("resnet50", "train", 256, "FP32"), OURS]


def test_page_of_the_benchmarks_has_the_marks():
    text = PAGE.read_text()
    assert text.count(BEGIN) == text.count(END) == 1
    assert page(text, bench_of([], answer), []).count(BEGIN) == 1


def test_aims_are_of_rows_that_are_measured():
    names = {str(row) for row in rows(("resnet50", "vgg16", "googlenet", "lenet", "alexnet"), ("BF16", "FP32"))}
    assert set(AIMS) <= names and str(Row("lenet", "train", 64, "BF16")) in names


