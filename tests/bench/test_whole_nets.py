"""`make bench`, small: it must not rot between the runs that matter."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from bench.nets import TEST, TRAIN, Case
from bench.systems import BF16, OURS, SYSTEMS, TUNED, environment
from bench.tables import BEGIN, END, NOTHING, parse
from bench.turns import Result
from bench.whole_nets import COST_HEADS, PAGE, among, cost_cells, notes, speed_cells, speed_heads, unreached

ROOT = Path(__file__).resolve().parents[2]
FACTS = {"setup": 0.5, "peak": 70.0, "flops": 2e9}


def result(mode=TRAIN):
    """20 ms for 2 GFLOP, PyTorch's best is channels last."""
    ms = {OURS: 20.0, "eager": 40.0, "channels_last": 30.0, "eager_tuned": 32.0}
    ratio = {"eager": 2.0, "channels_last": 1.5, "eager_tuned": 1.6}
    facts = {OURS: FACTS, "eager": {**FACTS, "peak": 100.0}}
    return Result(Case("resnet50", mode, 8), ms, ratio, facts, {"compile": "no compiler"})


def test_a_name_that_is_none_is_refused():
    assert among(["train", "test"])("test") == ["test"]
    with pytest.raises(argparse.ArgumentTypeError, match="inference: not among train, test"):
        among(["train", "test"])("inference")


@pytest.mark.parametrize("mode", [TRAIN, TEST])
def test_the_best_peer_is_the_one_that_takes_least(mode):
    cells = dict(zip(speed_heads(mode)[1:], speed_cells(result(mode)), strict=True))
    assert (cells["eager ÷"], cells["best ÷"], cells["best tuned ÷"]) == ("2.00", "1.50", "1.60")
    assert (cells["LayerForge ms"], cells["best tuned"], cells["compiled"]) == ("20.00", "32.00", NOTHING)


def test_arithmetic_and_memory_stand_beside_the_times():
    cells = dict(zip(COST_HEADS[1:], cost_cells(result(), 400.0), strict=True))
    assert (cells["GFLOP"], cells["GFLOP/s"], cells["of the peak"]) == ("2.00", "100", "25%")
    assert (cells["MiB ÷"], cells["BF16 ÷"]) == ("0.70", NOTHING)


def test_bfloat16_is_compared_with_our_own_float32():
    made = result()
    made.ms[BF16], made.ratio[BF16], made.facts[BF16] = 10.0, 0.5, FACTS
    assert dict(zip(COST_HEADS[1:], cost_cells(made, 400.0)))["BF16 ÷"] == "2.00"


def test_what_is_missing_is_told_with_its_reason():
    assert "Not measured: compiled of ResNet-50, 8: no compiler." in notes([result()], {"product": 400.0})


def test_the_processes_get_their_threads_and_no_foreign_kernels(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert environment(OURS, 3)["OMP_NUM_THREADS"] == "3" and "OPENBLAS_CORETYPE" not in environment(OURS, 3)
    assert environment("eager_tuned", 1).items() >= TUNED.items()


def test_a_missed_aim_shows_in_the_recorded_tables():
    tables = parse(PAGE.read_text(encoding="utf-8"))
    missing = [line for line in unreached(tables) if f"- {line}" not in PAGE.read_text(encoding="utf-8")]
    assert not missing, "docs/benchmarks.md must name them"


def run(page, *words):
    page.write_text(f"# Page\n\n{BEGIN}\n{END}\n")
    command = [sys.executable, "tests/bench/whole_nets.py", "--threads", "1", "--nets", "lenet", "--turns", "1",
               "--page", str(page), *words]
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True, timeout=240).stdout


def test_lenet_is_timed_and_written(tmp_path):
    page = tmp_path / "page.md"
    assert "worse by more than a tenth" in run(page, "--modes", "test", "--systems", f"{OURS},{BF16}", "--write")
    tables = parse(page.read_text())
    assert tables["1 thread, inference: milliseconds of a step"].value("LeNet, 64", "LayerForge ms") > 0


@pytest.mark.slow
def test_lenet_is_timed_beside_the_others(tmp_path):
    for package in ("torch", "onnx", "onnxruntime", "openvino"):
        pytest.importorskip(package, reason=f"{package} is not installed: nothing to compare with")
    page = tmp_path / "page.md"
    run(page, "--systems", "layerforge,eager,channels_last,onnxruntime,openvino", "--write")
    tables = parse(page.read_text())
    trained, applied = (tables[f"1 thread, {mode}: milliseconds of a step"] for mode in ("training", "inference"))
    assert trained.value("LeNet, 64", "eager ÷") > 0 and trained.value("LeNet, 64", "channels last") > 0
    assert all(applied.value("LeNet, 64", f"{SYSTEMS[name].title} ÷") > 0 for name in ("onnxruntime", "openvino"))
