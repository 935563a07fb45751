"""Every recorded case agrees where the cuDNN engine takes what it can, in float32, its graphs computed by NumPy."""

import pytest
from cpu_kernels import needs_compiler
from golden_cases import GOLDEN, run_case
from numpy_cudnn import NumpyRunner
from tape import TapeBackend

from layerforge.engines.cudnn.engine import CudnnEngine
from layerforge.net import build
from layerforge.pycaffe import modes

CASES = sorted(path for path in GOLDEN.rglob("*.npz"))


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_recorded_case_agrees(path, tmp_path, monkeypatch):
    needs_compiler()
    device = TapeBackend()

    def engines(backend, keep="all", compute_type=""):
        return [CudnnEngine(backend, NumpyRunner(backend), compute_type or "FP32", keep)]

    monkeypatch.setattr(modes, "backend", lambda: device)
    monkeypatch.setattr(build, "default_engines", engines)
    run_case(path, tmp_path, monkeypatch)
