"""device_query tells what the machine has."""

from __future__ import annotations

import contextlib
import os

import pytest
import threadpoolctl

from layerforge.backends.cupy import device
from layerforge.cli import machine, options
from layerforge.cli.main import main
from layerforge.core import threads
from layerforge.core.errors import DeviceError
from layerforge.engines.onednn import library


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


@pytest.mark.parametrize(("forced", "bits"), [("Haswell", 512), ("nehalem", 256), ("Zen", 512), ("POWER9", 256)])
def test_kernels_that_hold_matrix_products_back_are_warned_of(forced, bits):
    warning = machine.core_type_warning({"OPENBLAS_CORETYPE": forced}, bits)
    assert f"OPENBLAS_CORETYPE={forced}" in warning and "unset it" in warning


@pytest.mark.parametrize(("forced", "bits"), [("", 512), ("SkylakeX", 512), ("Haswell", 256), ("Zen", 128)])
def test_kernels_of_the_processor_itself_are_no_warning(forced, bits):
    assert machine.core_type_warning({"OPENBLAS_CORETYPE": forced}, bits) is None


def test_the_warning_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    monkeypatch.setattr(machine, "vector_bits", lambda: 512)
    assert main(["device_query"]) == 0
    assert "OPENBLAS_CORETYPE=Nehalem is set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "bits"), [("sse2 avx avx2 avx512f", 512), ("sse2 avx", 256), ("sse2", 128), ("neon", 0)]
)
def test_vectors_are_as_wide_as_the_flags_say(tmp_path, flags, bits):
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert machine.vector_bits(tmp_path / "cpuinfo") == bits


def broken_library(reason):
    def load():
        raise DeviceError(f"oneDNN cannot be loaded ({reason})", hint=library._cure(reason))

    return load


def test_a_missing_engine_is_named_with_what_it_would_bring(capsys, monkeypatch):
    monkeypatch.delenv("LAYERFORGE_ENGINE", raising=False)
    monkeypatch.delenv("LAYERFORGE_ONEDNN", raising=False)
    reason = "libdnnl.so.3: libgomp.so.1: cannot open shared object file"
    monkeypatch.setattr(machine, "load", broken_library(reason))
    assert main(["device_query"]) == 0
    out = capsys.readouterr().out
    assert "CPU engine" in out and reason in out and "NumPy computes" in out and "times as fast" in out


def test_an_engine_that_is_switched_off_is_named(monkeypatch):
    monkeypatch.setenv("LAYERFORGE_ENGINE", "none")
    assert "LAYERFORGE_ENGINE=NONE" in machine.cpu_engine()[0][1]


def test_missing_compiled_loops_are_named_with_what_they_would_bring(monkeypatch):
    try:
        library.load()
    except DeviceError as error:
        pytest.skip(f"oneDNN is not here: {error}")
    monkeypatch.delenv("LAYERFORGE_ENGINE", raising=False)
    monkeypatch.setattr(machine, "compiler", lambda: None)
    assert any("pip install llvmlite" in text for _, text in machine.cpu_engine())


def test_an_engine_that_is_there_is_named_with_its_threads(monkeypatch):
    try:
        loaded = library.load()
    except DeviceError as error:
        pytest.skip(f"oneDNN is not here: {error}")
    monkeypatch.delenv("LAYERFORGE_ENGINE", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    with threads.limited(1):
        rows = dict(machine.cpu_engine())
    assert rows["CPU engine"].startswith(f"oneDNN {loaded.version}, 1 thread")
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in rows["Warning"]


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
