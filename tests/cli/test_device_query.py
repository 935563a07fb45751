"""device_query tells what the machine has."""

from __future__ import annotations

import contextlib
import os

import pytest
import threadpoolctl

from layerforge.backends.cupy import device
from layerforge.cli import machine, options
from layerforge.cli.main import main
from layerforge.core.errors import DeviceError


def test_lists_processor_cores_matrix_library_and_versions(capsys):
    assert main(["device_query"]) == 0
    out = capsys.readouterr().out
    for label in ("CPU", "Cores usable", "BLAS", "GPU", "numpy", "Python"):
        assert f"\n{label} " in "\n" + out


def test_threads_limits_the_matrix_library(capsys):
    assert main(["device_query", "--threads", "1"]) == 0
    blas = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("BLAS"))
    assert blas.endswith(", 1 threads")


def test_without_the_flag_threads_are_at_most_the_usable_cores(capsys, monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: (1, "control group quota of 1, of 64"))
    assert main(["device_query"]) == 0
    pools = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("BLAS", "OpenMP"))]
    assert pools and all(line.endswith(", 1 threads") for line in pools)


def test_numpy_leaves_the_threads_to_an_engine(monkeypatch):
    most = {}
    limit = lambda limits: most.update(limits) or contextlib.nullcontext()  # noqa: E731
    monkeypatch.setattr(threadpoolctl, "threadpool_limits", limit)
    for engines in ([], ["an engine"]):
        monkeypatch.setattr(options, "default_engines", lambda backend, found=engines: found)
        with options.limited(3):
            assert most == {"blas": 1 if engines else 3, "openmp": 3}


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)])
def test_cores_follow_the_control_group(tmp_path, monkeypatch, text, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert machine.usable_cores(tmp_path)[0] == (cores or 8)


def test_cores_follow_a_control_group_of_the_first_version(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert machine.usable_cores(tmp_path) == (3, "control group quota of 3, of 16")


def test_the_processor_is_named_with_its_vector_instructions(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Some CPU\nflags : sse avx2 avx512f\n")
    assert machine.cpu_model(tmp_path / "cpuinfo") == "Some CPU (AVX-512)"


def test_forced_kernels_are_warned_of():
    assert "OPENBLAS_CORETYPE=Haswell" in machine.core_type_warning({"OPENBLAS_CORETYPE": "Haswell"})
    assert machine.core_type_warning({}) is None


def there(count):
    """Only GPUs below this number can be used."""

    def require(number):
        if number >= count:
            raise DeviceError(f"there is no GPU {number}")

    return require


def test_a_missing_gpu_that_is_asked_for_is_an_error_with_the_reason(capsys, monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: ([], "the CUDA driver finds none"))
    monkeypatch.setattr(machine, "require_gpu", there(0))
    assert main(["device_query", "-gpu", "0"]) == 1
    captured = capsys.readouterr()
    assert "none: the CUDA driver finds none" in captured.out and "there is no GPU 0" in captured.err


def test_a_gpu_number_beyond_the_last_is_an_error(capsys, monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: (["Card"], ""))
    monkeypatch.setattr(machine, "require_gpu", there(1))
    assert main(["device_query", "-gpu", "0,1"]) == 1
    captured = capsys.readouterr()
    assert "GPU 0" in captured.out and "there is no GPU 1" in captured.err


def test_gpu_numbers_are_numbers(capsys):
    assert main(["device_query", "-gpu", "zero"]) == 2


def test_libraries_of_the_gpu_are_listed_with_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(device, "packages", lambda: ([("cupy-cuda13x", "14.2.0")], ["nvidia-cudnn-cu13"]))
    assert main(["device_query"]) == 0
    out = capsys.readouterr().out
    assert "cupy-cuda13x 14.2.0" in out and "nvidia-cudnn-cu13 (pip install 'layerforge[gpu]')" in out
